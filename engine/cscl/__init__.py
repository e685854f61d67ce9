"""Context-self contrastive crop mapping: from a season of images and parcels to a crop map with its boundary report.

Importing this package costs milliseconds: nothing heavy is loaded until a part of it is used.
"""

__version__ = "0.1.0"

if __name__ != "cscl":
    raise ImportError(
        f"This package was imported as '{__name__}'. Import it as 'cscl': put the folder 'engine' itself on the path "
        "(installing the project does that); two copies under two names would not recognise each other's objects."
    )
