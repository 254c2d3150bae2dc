"""The virtual machine that runs a region: its instructions, and two equal machines, native and in plain Python."""
