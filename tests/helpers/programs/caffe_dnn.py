"""Runs a Caffe network with OpenCV 4's importer: a program of its own, beside this OpenCV.

python caffe_dnn.py FOLDER: reads net.prototxt, net.caffemodel, data.npy and outputs.txt in FOLDER,
writes one .npy for each blob that outputs.txt names.
"""

import pathlib
import sys

import cv2
import numpy as np

folder = pathlib.Path(sys.argv[1])
net = cv2.dnn.readNetFromCaffe(str(folder / "net.prototxt"), str(folder / "net.caffemodel"))
net.enableFusion(False)
net.setInput(np.load(folder / "data.npy"), "data")
names = (folder / "outputs.txt").read_text().split()
for name, value in zip(names, net.forward(names), strict=True):
    np.save(folder / f"{name}.npy", value)
