"""What a record is, and what makes a public function of it.

`registry`, `schema` and `lowering` are the format; `define`, `composites` and `writes` make records and functions of
one shape; `generate` and `call` are the functions that users call; `families` loads what few programs use; `eager`,
`infer`, `grads`, `refuse` and `results` are the building blocks of definitions.
"""
