"""F1 of detections above a score: over a set, to choose the score, and of each image.

AP ranks the detections of all scores. A picture, and whoever uses a detector, needs one score from
which on a detection counts; F1 is then what an image of its own has.
"""

import numpy as np
from jaxtyping import Float

from jaxseg.metrics.matching import Matches

_USUAL = 0.5  # the score where no detection is right


def best_score(matches: Matches) -> float:
    """The score from which on the detections of the whole set have the highest F1 at IoU .50.

    F1 = 2 hits / (objects + detections); of equal values the highest score is taken.
    """
    order = np.argsort(-matches.score, kind="stable")
    score, counted = matches.score[order], ~matches.ignored[order, 0]
    hits = np.cumsum(matches.matched[order, 0] & counted)
    f1 = 2 * hits / np.maximum(matches.truth.sum() + np.cumsum(counted), 1)
    last = np.append(score[1:] != score[:-1], True)[: len(score)]  # of those with equal scores
    f1 = np.where(last, f1, 0)
    if not f1.any():
        return _USUAL
    return float(score[f1.argmax()])


def f1_of_images(matches: Matches, score: float) -> Float[np.ndarray, " i"]:
    """The mean over the IoU thresholds of F1 of each image; nan without objects and detections.

    Args:
      matches: of a set.
      score: of the least certain detections that count.
    """
    images = len(matches.images)
    found = matches.score >= score
    counted = ~matches.ignored & found[:, None]
    hits, detections = np.zeros((2, images, matches.matched.shape[1]))
    np.add.at(hits, matches.image, matches.matched & counted)
    np.add.at(detections, matches.image, counted)
    total = matches.truth.sum(axis=1)[:, None] + detections
    f1 = np.where(total > 0, 2 * hits / np.maximum(total, 1), np.nan)
    return np.asarray(f1.mean(axis=1))
