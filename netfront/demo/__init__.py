"""The built-in origin behind `demo:`: for trying things on a machine that has nothing else to forward to."""
