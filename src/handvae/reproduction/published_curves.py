"""Published curves as numbers: shares of joints within an error (PCK) on STB.

Source: Zhang et al., "3D hand pose tracking and estimation using stereo matching", arXiv:1610.07214: three
methods on stereo depth, at seven errors. Figure 4b of cm-VAE's paper and figure 7 of dVAE's show the same
curves; the AUCs are those that dVAE's paper prints. Further curves come from the user: `--curves FILE`.
"""

from handvae.evaluation.plots import Curve

STB_MM = (20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0)

STB_PCK = {
    # method, AUC                 at 20      25      30      35      40      45      50 mm
    "PSO (AUC 0.709)":         (0.3224, 0.5395, 0.6743, 0.7566, 0.8092, 0.8651, 0.8947),
    "ICPPSO (AUC 0.748)":      (0.5197, 0.6447, 0.7171, 0.7730, 0.8092, 0.8487, 0.8684),
    "CHPR (AUC 0.839)":        (0.5658, 0.7171, 0.8224, 0.8816, 0.9145, 0.9375, 0.9605),
}  # fmt: skip
"""Share of joints within each error of `STB_MM`."""


def published_pck() -> tuple[Curve, ...]:
    """The published curves, each named with its data set."""
    return tuple(
        Curve(f"{method}, published on STB", STB_MM, shares, "dashed") for method, shares in STB_PCK.items()
    )
