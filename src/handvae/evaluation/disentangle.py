"""Whether single code values stand for single true factors: DCI, MIG and SAP, for data whose factors are
known; and a linear probe.

The three read a code from `codes[:, i]` and a factor from `factors[:, j]`, and are 1 where each factor is in
one code value and each code
value holds one factor. Factors that do not vary in the sample are left out.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import Lasso
from sklearn.metrics import balanced_accuracy_score

TEST_SHARE = 0.2
"""Rows that DCI's and SAP's predictors do not see in training."""
BINS = 20


@dataclass(frozen=True)
class Dci:
    """Eastwood & Williams, "A Framework for the Quantitative Evaluation of Disentangled Representations",
    ICLR 2018."""

    disentanglement: float
    """1 where a code value matters for one factor only."""
    completeness: float
    """1 where a factor is in one code value only."""
    informativeness: float
    """How well factors are predicted on rows not trained on: R² (numbers) or accuracy above chance (classes),
    mean over factors."""
    importance: Float[np.ndarray, "code factor"]
    """How much each code value matters for each factor; columns sum to 1 (or are 0 where nothing does)."""
    used: Int[np.ndarray, " factor"]
    """Columns of `factors` that vary."""


def dci(
    codes: Float[np.ndarray, "row code"],
    factors: Float[np.ndarray, "row all"],
    discrete: Bool[np.ndarray, " all"],
    *,
    predictor: str = "forest",
    seed: int = 0,
) -> Dci:
    """Predict every factor from the whole code, and see which code values the predictor uses.

    Args:
        codes: any unit; they are standardised.
        factors: numbers, or numbers of classes.
        discrete: which factors are classes.
        predictor: `forest` (30 trees, sees curved dependence) or `lasso` (linear, sparse; numbers only).
        seed: of the split and the trees.
    """
    used = _varying(factors)
    codes = _standardised(codes)
    train, test = _split(len(codes), seed)
    importance, scores = np.zeros((codes.shape[1], len(used))), np.zeros(len(used))

    for column, factor in enumerate(used):
        truth = factors[:, factor]
        if discrete[factor]:
            model = RandomForestClassifier(30, max_features=1.0, min_samples_leaf=2, random_state=seed)  # pyright: ignore[reportArgumentType] (its stub lacks shares)
            model.fit(codes[train], truth[train])
            chance = np.unique(truth[train], return_counts=True)[1].max() / len(train)
            scores[column] = max(
                0.0, (float(model.score(codes[test], truth[test])) - chance) / max(1 - chance, 1e-9)
            )
            importance[:, column] = model.feature_importances_
            continue

        scaled = (truth - truth[train].mean()) / max(truth[train].std(), 1e-12)
        if predictor == "lasso":
            linear = Lasso(alpha=0.01).fit(codes[train], scaled[train])
            scores[column], importance[:, column] = (
                max(0.0, linear.score(codes[test], scaled[test])),
                np.abs(linear.coef_),
            )
        else:
            forest = RandomForestRegressor(30, max_features=1.0, min_samples_leaf=2, random_state=seed).fit(
                codes[train], scaled[train]
            )
            scores[column], importance[:, column] = (
                max(0.0, float(forest.score(codes[test], scaled[test]))),
                forest.feature_importances_,
            )

    importance /= np.maximum(importance.sum(0), 1e-12)
    of_code = importance.sum(1)
    disentangled = 1 - _entropy(
        importance / np.maximum(of_code[:, None], 1e-12), axis=1, base=max(len(used), 2)
    )
    complete = 1 - _entropy(importance, axis=0, base=max(codes.shape[1], 2))
    weights = of_code / max(of_code.sum(), 1e-12)

    return Dci(
        float((weights * disentangled).sum()), float(complete.mean()), float(scores.mean()), importance, used
    )


def mig(
    codes: Float[np.ndarray, "row code"],
    factors: Float[np.ndarray, "row all"],
    discrete: Bool[np.ndarray, " all"],
) -> float:
    """Mutual information gap (Chen et al., "Isolating Sources of Disentanglement in VAEs", NeurIPS 2018).

    Per factor: how much more the best code value tells of it than the second best, over the factor's entropy.
    Code values, and factors
    that are numbers, are cut into 20 bins of equal width.
    """
    binned = np.stack([_binned(code) for code in codes.T])
    gaps = []
    for factor in _varying(factors):
        truth = (
            np.unique(factors[:, factor], return_inverse=True)[1].reshape(-1)
            if discrete[factor]
            else _binned(factors[:, factor])
        )
        told = np.sort([_mutual_information(code, truth) for code in binned])
        second = told[-2] if len(told) > 1 else 0.0
        gaps.append((told[-1] - second) / max(_mutual_information(truth, truth), 1e-12))

    return float(np.mean(gaps))


def sap(
    codes: Float[np.ndarray, "row code"],
    factors: Float[np.ndarray, "row all"],
    discrete: Bool[np.ndarray, " all"],
    *,
    seed: int = 0,
) -> float:
    """Separated attribute predictability (Kumar et al., "Variational Inference of Disentangled Latent
    Concepts", ICLR 2018).

    Per factor: how much better the best single code value predicts it than the second best, by squared
    correlation (numbers) or balanced
    accuracy of a linear discriminant (classes; the paper's linear SVM costs a hundred times as much).
    """
    codes = _standardised(codes)
    train, test = _split(len(codes), seed)
    gaps = []

    for factor in _varying(factors):
        truth = factors[:, factor]
        if discrete[factor]:
            scores = [_separated(code[:, None], truth, train, test) for code in codes.T]
        else:
            scores = ((codes * ((truth - truth.mean()) / truth.std())[:, None]).mean(0) ** 2).tolist()
        best = sorted(scores)
        gaps.append(best[-1] - (best[-2] if len(best) > 1 else 0.0))

    return float(np.mean(gaps))


def linear_probe(
    codes: Float[np.ndarray, "row code"], factors: Float[np.ndarray, "row factor"], *, seed: int = 0
) -> np.ndarray:
    """R² of each factor, a number, as a linear function of the whole code, on rows that the function was not
    fitted to.

    Args:
        codes: any unit; they are standardised.
        factors: each varies.
        seed: of the split.
    """
    codes = np.concatenate([_standardised(codes), np.ones((len(codes), 1))], 1)
    train, test = _split(len(codes), seed)
    weights = np.linalg.lstsq(codes[train], factors[train], rcond=None)[0]
    left = ((factors[test] - codes[test] @ weights) ** 2).sum(0)
    return 1 - left / np.maximum(((factors[test] - factors[train].mean(0)) ** 2).sum(0), 1e-12)


def _separated(code: np.ndarray, truth: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    if code.std() == 0 or len(np.unique(truth[train])) < 2:
        return 0.0
    known = np.isin(truth[test], truth[train])
    return float(
        balanced_accuracy_score(
            truth[test][known],
            LinearDiscriminantAnalysis().fit(code[train], truth[train]).predict(code[test][known]),
        )
    )


def _varying(factors: np.ndarray) -> np.ndarray:
    used = np.flatnonzero(np.ptp(factors, axis=0) > 0)
    if not len(used):
        raise ValueError("no factor varies")
    return used


def _standardised(codes: np.ndarray) -> np.ndarray:
    """Zero mean and unit deviation; a code value that never changes is 0."""
    spread = codes.std(0)
    return (codes - codes.mean(0)) / np.where(spread > 1e-12, spread, 1.0) * (spread > 1e-12)


def _split(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(seed).permutation(rows)
    cut = int(rows * (1 - TEST_SHARE))
    return order[:cut], order[cut:]


def _entropy(shares: np.ndarray, axis: int, base: int) -> np.ndarray:
    logs = np.log(np.where(shares > 0, shares, 1.0)) / np.log(base)
    return -(shares * logs).sum(axis)


def _binned(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return np.minimum((values - low) / max(high - low, 1e-12) * BINS, BINS - 1).astype(int)


def _mutual_information(a: np.ndarray, b: np.ndarray) -> float:
    """Of two series of classes, in nats; of a series with itself: its entropy."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1.0)
    joint /= joint.sum()
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / independent[there])).sum())
