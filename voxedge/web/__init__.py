"""A page that names speakers in a browser: written as a folder of static files, and served."""
