"""How well labels, such as categories of stimuli, organise a layer, without fitting anything.

Cluster indices ask whether stimuli of one label lie together and apart from the others. Label alignment is the
centred kernel alignment of the layer's Gram matrix G with the labels' kernel L, L_ij = 1 where labels agree:
<HGH, HLH> / (|HGH| |HLH|) (Cristianini et al. 2001, Cortes et al. 2012), debiased by U-centring (Szekely & Rizzo 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from brainbench.errors import InputError
from brainbench.numerics._shapes import Float, Int
from brainbench.numerics.alignment import cka, cka_biased
from brainbench.numerics.correlation import constant


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterIndices:
    """Three answers to one question, on three scales.

    `silhouette` in -1..1, `calinski_harabasz` (an F ratio) >= 0: larger is better. `davies_bouldin` >= 0: smaller is.
    """

    silhouette: float
    calinski_harabasz: float
    davies_bouldin: float


def cluster_indices(features: Float[Tensor, "n p"], labels: Int[Tensor, " n"]) -> ClusterIndices:
    """Silhouette (Rousseeuw 1987), Calinski-Harabasz (1974) and Davies-Bouldin (1979) of labels, Euclidean distance.

    Every stimulus counts; `geometry.coordinates(gram)` stands in for the features exactly. All NaN for fewer than 2
    labels, for as many labels as stimuli, or where all features are alike. In hundreds of noise dimensions distances
    even out and all three fall to those of shuffled labels, however separable the labels are.
    """
    from sklearn.metrics import calinski_harabasz_score, davies_bouldin_score, silhouette_score

    double = features.double()
    y = labels.cpu().numpy()
    if not 2 <= len(set(y.tolist())) < len(y) or bool(constant(double).all()):
        return ClusterIndices(silhouette=float("nan"), calinski_harabasz=float("nan"), davies_bouldin=float("nan"))
    centred = double - double.mean(dim=0)
    x = (centred / centred.abs().max()).cpu().numpy()  # scikit-learn takes distances below 1e-8 for none
    return ClusterIndices(
        silhouette=float(silhouette_score(x, y)),
        calinski_harabasz=float(calinski_harabasz_score(x, y)),
        davies_bouldin=float(davies_bouldin_score(x, y)),
    )


def label_kernel(labels: Int[Tensor, " n"]) -> Float[Tensor, "n n"]:
    """1 where two stimuli have the same label, else 0: the Gram matrix of one-hot labels, float64."""
    return (labels[:, None] == labels[None]).double()


def label_alignment(gram: Float[Tensor, "n n"], labels: Int[Tensor, " n"], *, debiased: bool = True) -> float:
    """Alignment of a layer with labels: 1 where it codes them and nothing else, all labels equally far apart.

    `debiased` is about 0 for labels that have nothing to do with the layer; without it chance is above 0 and grows
    with the number of labels and of units, so that layers and label sets cannot be compared. The Gram needs no
    centring. NaN where the layer is constant, there is one label, or every stimulus has its own. Raises InputError
    below 4 stimuli, where U-centring leaves nothing.
    """
    if len(gram) < 4:
        raise InputError(f"{len(gram)} stimuli: alignment takes at least 4")
    if len(labels.unique()) in (1, len(labels)):
        return float("nan")
    return float((cka if debiased else cka_biased)(gram, label_kernel(labels)))
