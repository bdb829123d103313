# Of examples/n3x, whose project has it in a layer of its own.
DESCRIPTION = "n3x image: base"
IMAGE_INSTALL += "n3x-identity"
inherit image
