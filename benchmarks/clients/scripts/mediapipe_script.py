"""MediaPipe Tasks: its ImageClassifier, which takes pictures and gives a score for each class."""

import sys

import mediapipe as mp
import numpy as np
from mediapipe.tasks import python as tasks

model, given, written = sys.argv[1:]
pictures = np.load(given)["pictures"]
options = tasks.vision.ImageClassifierOptions(base_options=tasks.BaseOptions(model_asset_path=model))
with tasks.vision.ImageClassifier.create_from_options(options) as classifier:
    rows, categories = [], []
    for picture in pictures:
        image = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(picture))
        categories = classifier.classify(image).classifications[0].categories
        rows.append([category.score for category in sorted(categories, key=lambda category: category.index)])
names = [category.category_name or "" for category in sorted(categories, key=lambda category: category.index)]
np.savez(written, scores=np.array(rows, np.float32), names=np.array(names))
