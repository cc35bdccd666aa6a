"""Small image and mask files of every kind, each with the pixels or ids that it must be read as.

What is right is known from how a file was made, never from a decoder: `png` and `tiff` write files
byte by byte, and what libraries encode is chosen so that it loses nothing, or by how much is said.
"""
