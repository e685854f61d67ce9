"""The jobs and nouns in one place, for scripts and notebooks: ``from cscl.api import open_cube, train, run``."""

from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.scenes import LabelOptions, open_labels, open_parcels
from cscl.events import run
from cscl.export.bundle import export
from cscl.grid import Window
from cscl.inference.assess import Assessment, AssessOptions, assess
from cscl.inference.embed import affinity, edge_strength, embed
from cscl.inference.predict import PredictOptions, predict
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.products import AffinityMap, Embedding, LabelMap, Prediction, Scene
from cscl.recipe import Recipe
from cscl.simulate import SeasonOptions, simulate, write_season
from cscl.training.finetune import FinetuneOptions, finetune
from cscl.training.pretrain import pretrain
from cscl.training.refine import refine
from cscl.training.segment import train

__all__ = [
    "AffinityMap", "AssessOptions", "Assessment", "Embedding", "FinetuneOptions", "LabelMap", "LabelOptions",
    "Legend", "ModelCard", "Parcels", "PredictOptions", "Prediction", "ReadOptions", "Recipe", "SITSCube", "Scene",
    "SeasonOptions", "Window", "affinity", "assess", "edge_strength", "embed", "export", "finetune", "open_cube",
    "open_labels", "open_parcels", "predict", "pretrain", "rasterise", "refine", "run", "simulate", "train",
    "write_season",
]  # fmt: skip
