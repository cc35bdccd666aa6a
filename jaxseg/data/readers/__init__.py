"""One reader per kind of file: images, masks, lists and files of classes."""
