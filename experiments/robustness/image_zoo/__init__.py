"""Small image and mask files of every kind, each with the pixels or ids expected from a reader.

The expected values follow from the construction of a file, never from a decoder: `png` and `tiff`
write files byte by byte, and files encoded by libraries are lossless or state their tolerance.
"""
