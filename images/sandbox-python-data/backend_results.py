"""A backend of matplotlib that shows a figure as a picture among the results: `plt.show()` writes show-1.png and so on.

All else, `savefig` too, is Agg's. app/environments.toml names this module, and the pictures' pattern.
"""

import os
import warnings

import matplotlib
from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

_FOLDER = "/tmp/results"  # noqa: S108 - the sandbox's own
_MATPLOTLIB = os.path.dirname(matplotlib.__file__)
_MOST = 8
"""As many as an execution gives back: `result_files` in app/profile.py."""


class FigureManager(FigureManagerBase):
    """Writes its figure when it is shown."""

    def show(self) -> None:
        """Write a picture under the first free name, and warn when none is free."""
        os.makedirs(_FOLDER, exist_ok=True)
        for number in range(1, _MOST + 1):
            try:
                with open(f"{_FOLDER}/show-{number}.png", "xb") as picture:
                    self.canvas.figure.savefig(picture, format="png")
            except FileExistsError:
                continue
            return
        warnings.warn(f"{_MOST} pictures were shown: this one is not kept", skip_file_prefixes=(_MATPLOTLIB,))

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """Show each figure and close it, as when its window is closed."""
        for manager in Gcf.get_all_fig_managers():
            manager.show()
            Gcf.destroy(manager)


class FigureCanvas(FigureCanvasAgg):
    """Draws as Agg does."""

    manager_class = FigureManager
