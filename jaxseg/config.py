"""The experiment: a tree of dataclasses with all fields and their defaults.

(`data.augment` and `data.normalisation` are defined next to the code that uses them.)

An experiment file has `get_config() -> Experiment`; the command line can change any field
(`--config.optim.learning_rate=0.01 --config.model.backbone.output_stride=8`). The model is a linen
module, which is a dataclass too, so its fields are set in the same way. `to_dict` and `from_dict`
turn the whole tree into plain JSON and back (`settings.stored`). `settings.bounds` defines the
valid values of each field.
"""

import dataclasses

import flax.linen as nn

from jaxseg.data.augment.instance_settings import InstanceAugment
from jaxseg.data.augment.settings import Augment
from jaxseg.pixels import Normalisation
from jaxseg.settings.stored import foreign_classes, from_dict, to_dict
from jaxseg.settings.tree import fields_of, flatten, unshared, with_fields

__all__ = [
    "DECAYED",
    "Augment",
    "Data",
    "Eval",
    "Experiment",
    "Loss",
    "Normalisation",
    "Optim",
    "Train",
    "fields_of",
    "flatten",
    "foreign_classes",
    "from_dict",
    "to_dict",
    "with_fields",
]

DECAYED = ("kernels", "depthwise", "biases", "scales", "shifts", "others")  # of Optim.decayed


@dataclasses.dataclass
class Data:
    """The source of the images and their processing before they reach the network."""

    name: str = "shapes"  # a builder of jaxseg/data/builders; "folder/NAME" for your own
    data_dir: str = "data"  # prepared data sets, written by jaxseg.data.prepare
    manual_dir: str = ""  # published files to prepare a data set from
    train_split: str = "train"  # of the data set: what is trained on
    eval_split: str = "val"  # of the data set: what is evaluated
    batch_size: int = 16  # global, over all devices and processes
    crop_size: tuple[int, int] = (513, 513)  # (height, width)
    augment: Augment = dataclasses.field(default_factory=Augment)
    instances: InstanceAugment = dataclasses.field(default_factory=InstanceAugment)
    normalisation: Normalisation = dataclasses.field(default_factory=Normalisation)
    duplicate: tuple[str, ...] = ()  # classes whose images appear twice per epoch (DeepLab v3)
    balance: bool = False  # draw images so that all classes are equally likely
    threads: int = 8  # reader threads per process
    prefetch: int = 64  # examples read ahead by those threads


@dataclasses.dataclass
class Loss:
    """The loss: a weighted sum of terms over the valid pixels; a weight of 0 omits a term.

    The reduction "pixels" divides sums over pixels by the number of valid pixels, "images" by the
    number of images, like Caffe without normalisation (the released FCN). The learning rates for
    the two differ by a factor of the number of pixels in an image.
    """

    cross_entropy: float = 1.0  # weight of the cross-entropy
    focal: float = 0.0  # weight of the focal loss
    dice: float = 0.0  # weight of the soft Dice loss
    lovasz: float = 0.0  # weight of the Lovasz-softmax loss
    coarse: float = 0.0  # weight of the cross-entropies summed over the model's coarse_logits
    aux_weight: float = 0.4  # weight of the cross-entropy on aux_logits, if the model has them
    presence: float = 0.2  # weight of the SE-loss on presence_logits, if the model has them
    class_weights: tuple[
        float, ...
    ] = ()  # for cross-entropy and focal, one per class; empty: all 1
    label_smoothing: float = 0.0  # of cross-entropy
    hardest: float = 1.0  # share of the pixels, the hardest, that cross-entropy counts
    boundary: float = 0.0  # w0 of U-Net's weight map, added to the class weights; 0: no map
    boundary_sigma: float = 5.0  # pixels
    # the larger, the less a pixel counts that is already right; 0: cross-entropy
    focal_gamma: float = 2.0
    dice_squared: bool = False  # squares in the denominator
    dice_per_class: bool = True  # mean over classes; else one coefficient for all classes
    per_image: bool = False  # dice and lovasz are computed per image, else per batch
    reduction: str = "pixels"  # or "images": the divisor of sums over pixels


@dataclasses.dataclass
class Detection:
    """What a detector minimises: a weighted sum of terms, and which anchors it is judged by.

    The defaults are torchvision's. detectron2 has beta 0 in both, its masks are aligned, and not
    soft; it divides the RPN's terms by all slots of the sample, filled or not. Detectron has a
    `box_beta` of 1.
    """

    objectness: float = 1.0  # of the RPN's cross-entropy
    rpn_box: float = 1.0  # of the RPN's boxes
    classes: float = 1.0  # of the RoIs' cross-entropy
    box: float = 1.0  # of the RoIs' boxes
    mask: float = 1.0  # of the masks' cross-entropy
    instance: float = 1.0  # of all of these together, in a network that classifies pixels too
    semantic: float = 0.5  # of that network's cross-entropy of the pixels
    rpn_low: float = 0.3  # IoU with every object below which an anchor is background
    rpn_high: float = 0.7  # IoU with an object from which on an anchor is that object's
    rpn_samples: int = 256  # anchors of an image that count
    rpn_positive_fraction: float = 0.5  # of these at most
    rpn_beta: float = 1 / 9  # where smooth L1 of the RPN's boxes turns straight; 0: plain L1
    box_beta: float = 1 / 9  # likewise of the RoIs' boxes
    normaliser: str = "sampled"  # of the RPN's terms: anchors sampled; or "slots": rpn_samples
    soft_masks: bool = True  # targets are shares of bins; else 1 from a half on
    aligned_masks: bool = False  # targets are cut out with RoIAlign's half pixel


@dataclasses.dataclass
class Optim:
    """Optimiser and schedule (on optax)."""

    name: str = "sgd"  # sgd (momentum) or adamw
    learning_rate: float = 0.007  # the highest, reached at the end of the warm-up
    schedule: str = "poly"  # poly, step or constant
    power: float = 0.9  # of poly: (1 - step / steps) ** power
    end_learning_rate: float = 0.0  # of poly: the rate after the last step
    decay_steps: tuple[int, ...] = ()  # of step: steps at which decay_factor multiplies the rate
    decay_factor: float = 0.1  # of step: what the rate is multiplied by at each of decay_steps
    warmup_steps: int = 0  # in which the rate rises to learning_rate; 0: no warm-up
    momentum: float = 0.9  # of sgd; b1 of adamw
    nesterov: bool = False  # Nesterov's momentum, of sgd
    b2: float = 0.999  # of adamw; its b1 is momentum
    weight_decay: float = 1e-4  # for the kinds of parameters in `decayed`
    # "kernels", "depthwise" (kernels), "biases", a norm's "scales" and "shifts", "others"; or "all"
    decayed: tuple[str, ...] = ("kernels",)
    clip_norm: float = 0.0  # 0: no clipping by global norm
    multipliers: tuple[tuple[str, float], ...] = ()  # (pattern of the parameter path, factor)


@dataclasses.dataclass
class Train:
    """The training loop."""

    steps: int = 30_000  # updates of the parameters
    seed: int = 0  # of initialisation, order, augmentation and dropout
    log_every: int = 50  # steps between two lines of the log
    eval_every: int = 1_000  # 0: only at the end
    checkpoint_every: int = 1_000  # steps between two checkpoints; the last step has one too
    keep: int = 3  # number of checkpoints kept
    accumulate: int = 1  # micro-batches per step
    ema_decay: float = 0.0  # 0: no average of the parameters is kept
    init_from: str = ""  # a run, a converted file or a weight file; see jaxseg/training/start.py
    init_partial: bool = False  # load the parameters shared with a related model only
    rows: int = 1  # devices over which the height of an image is split
    shard_params: bool = False  # shard parameters, averages and optimiser state over the data axis
    heartbeat_timeout: float = 100.0  # seconds of silence after which a process counts as lost
    pictures: int = 4  # predictions drawn for TensorBoard at each evaluation
    compile_cache: str = "~/.cache/jaxseg/xla"  # "": none


@dataclasses.dataclass
class Eval:
    """The protocol of evaluation and prediction."""

    batch_size: int = 8  # global, over all devices and processes
    size: tuple[int, int] = (0, 0)  # images are padded to this; (0, 0): the largest of the split
    output_stride: int = 0  # 0: that of training
    # at which the network sees each image; what is averaged: fusion
    scales: tuple[float, ...] = (1.0,)
    flip: bool = False  # each view is predicted mirrored as well
    rotations: int = 1  # number of views, rotated by multiples of 360 / rotations degrees
    # How views are combined. "probabilities": their mean; "logits": the mean of the softmax of the
    # summed logits of a view and its mirror image (PSPNet); "exp": the mean of exp of that sum
    # (EncNet); "max": the highest logits of all views (DeepLab v2).
    fusion: str = "probabilities"
    long_side: int = 0  # images are resized to this long side times the scale; 0: off
    short_side: int = 0  # images with a smaller short side are enlarged to this
    sliding: bool = False  # crops of crop_size instead of whole images
    crop_size: tuple[int, int] = (513, 513)  # (height, width) of the crops of sliding
    stride: float = 2 / 3  # of the sliding window, as a share of the kept part of a crop
    margin: int = 0  # pixels around each crop or image that are seen but not kept
    border: str = "mean"  # padding beyond the image: the mean colour, or "mirror"
    crf: str = (
        ""  # "": none; a name in postprocess.crf.PARAMETERS, or "w1,alpha,beta,w2,gamma,steps"
    )
    crf_filter: str = "lattice"  # or "exact", for small images
    crf_normalization: str = "per_pixel"  # DeepLab's; "symmetric" (pydensecrf's) or "none"
    boundary: bool = False  # also compute the trimap curve, boundary IoU and boundary F
    hausdorff: bool = False  # with `boundary`, also the Hausdorff distance, which is slow
    calibration: bool = (
        False  # calibration error and, for two classes, the area under the ROC curve
    )
    semantic: bool = False  # of a detector: also the mIoU of the classes of pixels
    stuff_area: int = 4096  # of panoptic segments of stuff: smaller ones are left out, in pixels
    use_ema: bool = True  # use the average of the parameters if there is one
    examples: int = 0  # 0: all of the split


@dataclasses.dataclass
class Experiment:
    """Everything that determines the outcome of a run."""

    model: nn.Module  # the network: a module of jaxseg.models
    data: Data = dataclasses.field(default_factory=Data)
    loss: Loss = dataclasses.field(default_factory=Loss)
    detection: Detection = dataclasses.field(default_factory=Detection)
    optim: Optim = dataclasses.field(default_factory=Optim)
    train: Train = dataclasses.field(default_factory=Train)
    eval: Eval = dataclasses.field(default_factory=Eval)

    def lock(self) -> None:
        """Copies shared parts; ml_collections calls this before it sets fields by flags.

        Fields are set in place: if the head and the backbone shared a `Norm`, or a class default
        were used, a flag for one would change all of them.
        """
        for field in fields_of(self):
            setattr(self, field.name, unshared(getattr(self, field.name)))
