"""The way into native code: guards of a call's objects, and what of them goes into frames; native and plain Python."""
