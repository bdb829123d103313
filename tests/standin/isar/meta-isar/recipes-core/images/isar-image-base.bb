DESCRIPTION = "Stand-in for ISAR's base image"
PV = "1.0"
inherit image
