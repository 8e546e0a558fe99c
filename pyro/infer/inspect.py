"""Door: what a model consists of, what depends on what, and pictures of it."""

from pyro.infer.dependencies import get_dependencies
from pyro.infer.relations import get_model_relations
from pyro.infer.rendering import render_model

__all__ = ["get_dependencies", "get_model_relations", "render_model"]
