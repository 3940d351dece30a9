"""The page that compares two recordings."""

from __future__ import annotations

import dash_mantine_components as dmc
from dash import html
from dash.development.base_component import Component

from wgprof.dashboard.figures import shown
from wgprof.dashboard.library import Entry
from wgprof.dashboard.pages import _grids, nothing
from wgprof.dashboard.recordings import Recordings, Whole
from wgprof.dashboard.state import State
from wgprof.report.comparison import CAUTION, TEST, comparison_sheets, lines
from wgprof.rules.comparison import compared
from wgprof.views.catalogue import VIEWS
