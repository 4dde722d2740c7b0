"""Parquet shards: there and back, equal bytes, bounded memory, damaged and hostile files."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from handvae.data.files import shards
from handvae.data.files.shards import write_shard, write_shards
from handvae.data.hands import DataSpec
from handvae.data.open import open_data
from handvae.data.readers import shards as shard_hands
from handvae.data.readers.shards import ShardHands
from handvae.data.sample import Sample
from handvae.errors import UserError
from handvae.files import file_digest

LABELS = (
    *(
        "joints_2d",
        "joints_3d",
        "joint_valid",
        "joint_visible",
        "joint_spread",
        "intrinsics",
        "side",
        "viewpoint",
    ),
    *("canonical", "cloud", "content", "subject", "gesture", "scale_mm", "factors"),
)
FULL = DataSpec(
    "made",
    0,
    24,
    ("image", "depth", "segmentation", *LABELS),
    "both",
    gestures=("a", "b"),
    factors=("f", "g"),
    licence="CC0",
)


def sample(number: int) -> Sample:
    rng = np.random.default_rng(number)

    def floats(*shape: int) -> np.ndarray:
        return rng.normal(100, 30, shape).astype(np.float32)

    return Sample(
        joints_2d=floats(21, 2),
        side=number % 2,
        image=rng.integers(0, 256, (20, 24, 3), np.uint8),
        depth=np.round(rng.uniform(0, 900, (20, 24)), 1).astype(np.float32),
        segmentation=rng.integers(0, 8, (20, 24), np.uint8),
        joints_3d=floats(21, 3),
        joint_valid=rng.random(21) < 0.8,
        joint_visible=rng.random(21) < 0.5,
        joint_spread=floats(21),
        intrinsics=floats(3, 3),
        viewpoint=floats(3, 3),
        canonical=floats(21, 3),
        cloud=floats(7, 3),
        content=2**40 + number,
        subject=number // 3,
        gesture=number % 2,
        scale_mm=30.0 + number,
        factors=floats(2),
        split="train" if number < 6 else "test",
        provenance=json.dumps({"seed": number}),
    )


@pytest.fixture
def made() -> list[Sample]:
    return [sample(number) for number in range(10)]


@pytest.fixture
def shard(tmp_path: Path, made: list[Sample]) -> Path:
    write_shard(tmp_path / "set" / "a.parquet", FULL, made, "a test")
    return tmp_path / "set" / "a.parquet"


# ------------------------------------------------------------------------------------------- - there and back


def test_every_field_is_read_as_it_was_written(shard, made):
    data = open_data(shard.parent)
    assert data.spec == replace(FULL, count=10)
    labels = data.labels(torch.arange(10))
    for name in LABELS:
        np.testing.assert_array_equal(
            getattr(labels, name).numpy(), np.stack([getattr(s, name) for s in made]), err_msg=name
        )
    for row, hand in enumerate(made):
        np.testing.assert_array_equal(data.picture(row), hand.image)
        np.testing.assert_allclose(data.depth(row), hand.depth, atol=1e-4)
        np.testing.assert_array_equal(data.segmentation(row), hand.segmentation)
        assert (data.split_of(row), data.provenance_of(row)) == (hand.split, hand.provenance)


def test_rows_come_in_the_order_asked_for(shard, made):
    content = ShardHands(shard).labels(torch.tensor([7, 0, 7])).require("content")
    assert content.tolist() == [made[row].content for row in (7, 0, 7)]


def test_a_split_is_its_hands_alone_over_all_row_groups(tmp_path, made, monkeypatch):
    monkeypatch.setattr(shards, "GROUP_ROWS", 4)
    write_shards(tmp_path, FULL, made, rows=7)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-00000.parquet", "shard-00001.parquet"]
    data = ShardHands(tmp_path, "test")
    assert [data.provenance_of(row) for row in range(len(data))] == [hand.provenance for hand in made[6:]]
    assert data.labels(torch.arange(4)).content.tolist() == [hand.content for hand in made[6:]]
    assert [data.name(row) for row in range(2)] == [
        "shard-00000.parquet, hand 6",
        "shard-00001.parquet, hand 0",
    ]
    np.testing.assert_array_equal(data.picture(3), made[9].image)


def test_a_shard_of_the_first_edition_is_read_under_the_names_of_this_one(shard, made):
    """There the segmentation was called `parts`, in its column and in the metadata."""
    table = pq.read_table(shard)
    about = json.loads(pq.read_metadata(shard).metadata[b"handvae"])
    about["spec"]["modalities"] = [
        "parts" if name == "segmentation" else name for name in about["spec"]["modalities"]
    ]
    old = table.rename_columns(["parts" if name == "segmentation" else name for name in table.column_names])
    old = old.replace_schema_metadata({"handvae": json.dumps(about)})
    pq.write_table(old, shard, use_dictionary=False)

    data = open_data(shard.parent)
    assert data.spec == replace(FULL, count=10)
    for row, hand in enumerate(made):
        np.testing.assert_array_equal(data.segmentation(row), hand.segmentation)
        np.testing.assert_array_equal(data.mask(row), hand.segmentation >= 2)
    np.testing.assert_array_equal(data.labels(torch.arange(10)).side, [hand.side for hand in made])


def test_equal_hands_give_equal_bytes(tmp_path, made):
    for name in ("one", "two"):
        write_shard(tmp_path / name, FULL, iter(made), "a test")
    assert file_digest(tmp_path / "one") == file_digest(tmp_path / "two")


def test_columns_that_the_set_lacks_are_absent(tmp_path, made):
    spec = DataSpec("few", 0, 0, ("joints_2d", "side"), "both")
    write_shard(
        tmp_path / "a.parquet", spec, [Sample(joints_2d=hand.joints_2d, side=hand.side) for hand in made]
    )
    assert pq.read_schema(tmp_path / "a.parquet").names == [
        "joints_2d",
        "joint_valid",
        "side",
        "split",
        "provenance",
        "picture",
    ]
    data = ShardHands(tmp_path)
    assert data.labels(torch.tensor([0])).joint_valid.all()
    with pytest.raises(ValueError, match="few has no image"):
        data.picture(0)


def test_depth_that_sixteen_bits_cannot_hold_is_unknown(tmp_path, made):
    depth = np.array([[0.0, 6553.5, 6553.6, -1.0, 0.14]], np.float32)
    write_shard(
        tmp_path / "a.parquet",
        FULL,
        [
            replace(
                made[0], depth=depth, image=made[0].image[:1, :5], segmentation=made[0].segmentation[:1, :5]
            )
        ],
    )
    np.testing.assert_allclose(ShardHands(tmp_path).depth(0), [[0, 6553.5, 0, 0, 0.1]], atol=1e-3)


# -------------------------------------------------------------------------------------------- whole or absent


def test_a_hand_that_lacks_a_modality_leaves_no_file(tmp_path, made):
    with pytest.raises(ValueError, match="viewpoint is missing"):
        write_shard(tmp_path / "a.parquet", FULL, [made[0], replace(made[1], viewpoint=None)])
    assert list(tmp_path.iterdir()) == []


def test_a_hand_of_another_shape_is_refused(tmp_path, made):
    with pytest.raises(ValueError, match=r"cloud is \(6, 3\), not \(7, 3\)"):
        write_shard(tmp_path / "a.parquet", FULL, [made[0], replace(made[1], cloud=made[1].cloud[:6])])


# ------------------------------------------------------------------------------------------ -- bounded memory


def test_pictures_kept_stay_below_the_limit(tmp_path, made, monkeypatch):
    monkeypatch.setattr(shards, "GROUP_ROWS", 2)
    write_shard(tmp_path / "a.parquet", FULL, made)
    a_group = sum(len(shards.encode_picture("image", hand)) for hand in made[:2])
    data = ShardHands(tmp_path, kept_bytes=2 * a_group + 100)
    for row in [*range(10), *range(10)]:
        np.testing.assert_array_equal(data.picture(row), made[row].image)
        assert data.kept_bytes <= 2 * a_group + 100


def test_a_row_group_ends_at_its_bytes(tmp_path, made, monkeypatch):
    monkeypatch.setattr(shards, "GROUP_BYTES", 4000)
    write_shard(tmp_path / "a.parquet", FULL, made)
    assert pq.read_metadata(tmp_path / "a.parquet").num_row_groups > 3


def test_large_pictures_that_compress_well_do_not_gather_in_memory(tmp_path):
    spec = DataSpec("flat", 0, 0, ("image", "joints_2d", "side"), "right")
    one = 1200 * 1200 * 3
    hands = (
        Sample(np.zeros((21, 2), np.float32), 1, image=np.full((1200, 1200, 3), 9, np.uint8))
        for _ in range(20)
    )
    tracemalloc.start()
    try:
        assert write_shard(tmp_path / "flat.parquet", spec, hands) == 20
        assert tracemalloc.get_traced_memory()[1] < 10 * one
    finally:
        tracemalloc.stop()


def test_many_labels_lie_in_a_file(shard, made, monkeypatch):
    monkeypatch.setattr(shard_hands, "LABEL_BYTES", 0)
    data = ShardHands(shard)
    assert isinstance(data._labels["joints_3d"], np.memmap)
    np.testing.assert_array_equal(data.labels(torch.tensor([4])).joints_3d[0].numpy(), made[4].joints_3d)


# ------------------------------------------------------------------------------------------------ - bad files


def rewritten(shard: Path, change) -> Path:
    """The shard with its table changed by a function, or with other metadata."""
    table = pq.read_table(shard)
    about = pq.read_metadata(shard).metadata[b"handvae"]
    pq.write_table(change(table.replace_schema_metadata({"handvae": about})), shard, use_dictionary=False)
    return shard


def with_column(name: str, make):
    return lambda table: table.set_column(table.schema.get_field_index(name), name, make(table.column(name)))


def nan_first(column):
    values = np.array(column.to_pylist(), np.float32)
    values[0, 0] = np.nan
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def about(**changes):
    def change(table):
        content = json.loads(table.schema.metadata[b"handvae"]) | changes
        return table.replace_schema_metadata({"handvae": json.dumps(content)})

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (about(version=2), "is of schema version 2, this program reads 1"),
        (about(spec={"name": "x"}), "its metadata are damaged"),
        (lambda table: table.replace_schema_metadata({}), "is no shard of handvae"),
        (lambda table: table.drop_columns(["joints_3d"]), "column joints_3d is missing"),
        (
            with_column("subject", lambda column: column.cast(pa.string())),
            "column subject is string, not int64",
        ),
        (
            with_column("side", lambda column: pa.array([7] * 10, pa.int8())),
            "column side has a value other than",
        ),
        (with_column("side", lambda column: pa.array([None] * 10, pa.int8())), "column side has nulls"),
        (with_column("joints_2d", nan_first), "column joints_2d has NaN"),
        (lambda table: table.slice(0, 0), "holds no hand"),
    ],
    ids=["version", "spec", "foreign", "absent", "type", "code", "null", "nan", "empty"],
)
def test_a_file_of_another_schema_is_refused(shard, change, complaint):
    with pytest.raises(UserError, match=complaint):
        ShardHands(rewritten(shard, change))


def test_pictures_that_are_none_are_named(shard):
    rewritten(shard, with_column("image", lambda column: pa.array([b"no picture"] * 10, pa.binary())))
    with pytest.raises(UserError, match=r"a.parquet, hand 3, image: is not a picture"):
        ShardHands(shard).picture(3)


def test_depth_of_eight_bits_is_refused(shard, made):
    plane = shards.encode_picture("segmentation", made[0])
    rewritten(shard, with_column("depth", lambda column: pa.array([plane] * 10, pa.binary())))
    with pytest.raises(UserError, match="1 channels of uint8; write one channel of uint16"):
        ShardHands(shard).depth(0)


def test_codes_that_name_no_part_are_refused(tmp_path, made):
    write_shard(tmp_path / "a.parquet", FULL, [replace(made[0], segmentation=np.full((20, 24), 8, np.uint8))])
    with pytest.raises(UserError, match="has the code 8"):
        ShardHands(tmp_path).segmentation(0)


def test_a_dictionary_that_may_unfold_without_end_is_refused(shard):
    table = pq.read_table(shard)
    about = pq.read_metadata(shard).metadata[b"handvae"]
    pq.write_table(table.replace_schema_metadata({"handvae": about}), shard, use_dictionary=["image"])
    with pytest.raises(UserError, match="column image is dictionary-encoded"):
        ShardHands(shard)


def test_an_oversized_row_group_is_refused_before_it_is_read(shard, monkeypatch):
    monkeypatch.setattr(shard_hands, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="row group 0 has 10 hands and"):
        ShardHands(shard)


def test_a_cut_or_spoilt_file_is_a_users_error(shard):
    """Every byte region is hit: the file either reads, or says that it cannot."""
    whole = shard.read_bytes()
    rng = np.random.default_rng(0)
    spoilt = [whole[: int(at)] for at in rng.integers(0, len(whole), 20)]
    for at in rng.integers(0, len(whole), 60):
        spoilt.append(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
    refused = 0
    for content in spoilt:
        shard.write_bytes(content)
        try:
            data = ShardHands(shard)
            for row in range(len(data)):
                data.picture(row), data.depth(row), data.segmentation(row), data.provenance_of(row)
        except UserError:
            refused += 1
    assert refused >= 20


def test_shards_of_two_data_sets_in_a_folder_are_refused(shard, made):
    write_shard(shard.with_name("b.parquet"), replace(FULL, name="other"), made)
    with pytest.raises(UserError, match=r"is of another data set than a\.parquet"):
        ShardHands(shard.parent)


def test_a_split_that_is_not_there_lists_those_that_are(shard):
    with pytest.raises(UserError, match=r"no hand of split 'val'; it has test, train"):
        ShardHands(shard, "val")
