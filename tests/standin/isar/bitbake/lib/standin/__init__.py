"""A bitbake that builds one kind of image, quickly, and looks like the real one from outside."""
