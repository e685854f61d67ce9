"""The jobs and nouns in one place, for scripts and notebooks: ``from cscl.api import open_cube, train, run``."""

from cscl.benchmark.job import benchmark
from cscl.benchmark.page import write_benchmark
from cscl.benchmark.protocol import Protocol
from cscl.card import ModelCard
from cscl.cube import SITSCube
from cscl.data.catalogues import SearchOptions, search
from cscl.data.datasets import Dataset, Folds, open_dataset
from cscl.data.readers import ReadOptions, open_cube
from cscl.data.scenes import LabelOptions, open_labels, open_parcels
from cscl.data.xarrays import cube_from_xarray, cube_to_xarray
from cscl.events import run
from cscl.export.bundle import export
from cscl.export.cube import CubeOptions, plan_cube, write_cube
from cscl.grid import Window, refined
from cscl.inference.align import AlignOptions, estimate_offset, offsets_by_date
from cscl.inference.align_files import write_corrected, write_offset
from cscl.inference.align_labels import aligned, read_labels
from cscl.inference.area import AreaOptions, estimate_areas
from cscl.inference.area_files import write_area
from cscl.inference.assess import Assessment, AssessOptions, assess
from cscl.inference.assess_folds import FoldAssessOptions, assess_folds
from cscl.inference.coarsen import CoarsenOptions, coarsen
from cscl.inference.embed import affinity, edge_strength, embed
from cscl.inference.explore import explore
from cscl.inference.filled_sample import read_sample
from cscl.inference.judging import everything, held_out
from cscl.inference.look import ExploreOptions
from cscl.inference.offset import Offset
from cscl.inference.plan import MapPlan, plan_map
from cscl.inference.predict import PredictOptions, Workers, predict
from cscl.inference.sample import SampleOptions, draw_sample, write_sample
from cscl.inference.subset import Subset, select
from cscl.inference.suspect_files import Ranking, write_ranking
from cscl.inference.suspects import SuspectOptions, label_next, pooled, suspects
from cscl.inference.versus import held_out_of_all, versus
from cscl.inference.versus_files import write_versus
from cscl.legend import Legend
from cscl.parcels import Parcels, rasterise
from cscl.patches.layouts import export_dataset
from cscl.patches.make import make_dataset
from cscl.patches.options import PatchOptions
from cscl.products import AffinityMap, Embedding, LabelMap, Prediction, Scene
from cscl.recipe import Recipe
from cscl.simulate import SeasonOptions, simulate, write_season
from cscl.training.finetune import FinetuneOptions, finetune
from cscl.training.pretrain import pretrain
from cscl.training.refine import refine
from cscl.training.segment import train

__all__ = [
    "AffinityMap", "AlignOptions", "AreaOptions", "AssessOptions", "Assessment", "CoarsenOptions", "CubeOptions",
    "Dataset", "Embedding", "ExploreOptions", "FinetuneOptions", "FoldAssessOptions", "Folds", "LabelMap",
    "LabelOptions", "Legend", "MapPlan", "ModelCard", "Offset", "Parcels", "PatchOptions", "PredictOptions",
    "Prediction", "Protocol", "Ranking", "ReadOptions", "Recipe", "SITSCube", "SampleOptions", "Scene",
    "SearchOptions", "SeasonOptions", "Subset", "SuspectOptions", "Window", "Workers", "affinity", "aligned",
    "assess", "assess_folds", "benchmark", "coarsen", "cube_from_xarray", "cube_to_xarray", "draw_sample",
    "edge_strength", "embed", "estimate_areas", "estimate_offset", "everything", "explore", "export",
    "export_dataset", "finetune", "held_out", "held_out_of_all", "label_next", "make_dataset", "offsets_by_date",
    "open_cube", "open_dataset", "open_labels", "open_parcels", "plan_cube", "plan_map", "pooled", "predict",
    "pretrain", "rasterise", "read_labels", "read_sample", "refine", "refined", "run", "search", "select",
    "simulate", "suspects", "train", "versus", "write_area", "write_benchmark", "write_corrected", "write_cube",
    "write_offset", "write_ranking", "write_sample", "write_season", "write_versus",
]  # fmt: skip
