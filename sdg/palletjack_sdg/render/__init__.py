"""Renderers: what turns a scene into radiance, instance ids and depth."""

from palletjack_sdg.render.base import Renderer, RenderError, RenderResult, RenderSettings, create_renderer

__all__ = ["RenderError", "RenderResult", "RenderSettings", "Renderer", "create_renderer"]
