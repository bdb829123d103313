# What is built is in bitbake/lib/standin/recipes.py; this file gives the recipe its place.
DESCRIPTION = "isar-apt"
