"""Commands that have a file of their own: what each does, and the options it takes. `cscl.cli` lists them."""
