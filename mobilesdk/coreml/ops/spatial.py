"""Images [n, C, height, width] sampled at computed positions."""

from __future__ import annotations

import torch
from torch import Tensor

from mobilesdk.coreml.ops.registry import OpError, op
from mobilesdk.coreml.ops.room import MAX_ELEMENTS, check_room
from mobilesdk.coreml.ops.sampling import grid
from mobilesdk.coreml.ops.scatter_gather import positive


@op("resample")
def resample(
    *,
    x: Tensor,
    coordinates: Tensor,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Sample at coordinates [n, height, width, 2], given as (column, row).

    Outside the image there is a constant, its ``border``, its ``reflection`` about the centres of
    the outermost pixels, or ``symmetric`` about their edges.
    """
    check_room((x.shape[1], *coordinates.shape[:3]), max_elements)
    across, down = (
        _outside(
            _pixels(coordinates[..., axis].to(x.dtype), size, coordinates_mode, align_corners),
            size,
            padding_mode,
        )
        for axis, size in ((0, x.shape[3]), (1, x.shape[2]))
    )
    if sampling_mode == "nearest":
        return _taken(x, down.round(), across.round(), padding_value)
    if sampling_mode != "bilinear":
        raise OpError(f"the sampling mode {sampling_mode!r} is not known")
    return _bilinear(x, down, across, padding_value)


@op("affine")
def affine(
    *,
    x: Tensor,
    transform_matrix: Tensor,
    output_height: int,
    output_width: int,
    sampling_mode: str,
    padding_mode: str,
    padding_value: float,
    coordinates_mode: str,
    align_corners: bool,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Sample at a x + b y + c of each position; the matrix is [n or 1, 6], in rows for x and y.

    Positions of the result and of the image go from -1 to 1, from centre to centre of the corners
    if they are aligned, else from edge to edge.
    """
    if coordinates_mode != "normalized_minus_one_to_one":
        raise OpError(f"the coordinates mode {coordinates_mode!r} is not known")
    check_room((*x.shape[:2], output_height, output_width), max_elements)
    across, down = (
        _normalized(count, align_corners).to(x.dtype) for count in (output_width, output_height)
    )
    rows, columns = torch.meshgrid(down, across, indexing="ij")
    places = torch.stack([columns, rows, torch.ones_like(rows)], -1)
    matrices = transform_matrix.reshape(-1, 1, 2, 3).expand(x.shape[0], -1, -1, -1)
    coordinates = torch.matmul(places, matrices.mT)
    return resample(
        x=x,
        coordinates=coordinates,
        sampling_mode=sampling_mode,
        padding_mode=padding_mode,
        padding_value=padding_value,
        coordinates_mode=coordinates_mode,
        align_corners=align_corners,
    )


@op("crop_resize")
def crop_resize_inside(
    *,
    x: Tensor,
    roi: Tensor,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Do as `crop_resize`, with boxes inside of the image; what others give is undefined."""
    boxes = _corners(roi.flatten(1)[:, -4:].double() * spatial_scale, box_coordinate_mode)
    limits = [1, 1] if normalized_coordinates else [size - 1 for size in x.shape[2:]]
    if bool((boxes < 0).any()) or bool((boxes > torch.tensor(limits * 2)).any()):
        raise OpError("a box lies outside of the image, which is undefined before iOS 16")
    return crop_resize(
        x=x,
        roi=roi,
        target_height=target_height,
        target_width=target_width,
        normalized_coordinates=normalized_coordinates,
        spatial_scale=spatial_scale,
        box_coordinate_mode=box_coordinate_mode,
        sampling_mode=sampling_mode,
        max_elements=max_elements,
    )


@op("crop_resize", since=16)
def crop_resize(
    *,
    x: Tensor,
    roi: Tensor,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Cut boxes out of all images, or each out of one, and resize them.

    Boxes are [N, 1, 4, 1, 1]; or [N, 1, 5, 1, 1], with the image's index first. Gives
    [N, n or 1, C, height, width]. Positions outside the image have the value ``pad_value``.
    """
    numbers = roi.reshape(roi.shape[0], -1)
    boxes = numbers[:, -4:]
    if numbers.shape[1] == 5:
        chosen = positive(numbers[:, 0], x.shape[0]).unsqueeze(1)
    else:
        chosen = torch.arange(x.shape[0]).expand(len(boxes), -1)
    per_box = chosen.shape[1]
    check_room((*chosen.shape, *x.shape[1:]), max_elements)
    check_room((*chosen.shape, x.shape[1], target_height, target_width), max_elements)
    cut = _cut(
        x[chosen.reshape(-1)],
        boxes.repeat_interleave(per_box, 0),
        (target_height, target_width),
        normalized_coordinates,
        spatial_scale,
        box_coordinate_mode,
        sampling_mode,
        pad_value,
    )
    return cut.unflatten(0, (-1, per_box))


@op("crop_resize", since=17)
def crop_resize_by_index(
    *,
    x: Tensor,
    boxes: Tensor,
    box_indices: Tensor | None = None,
    target_height: int = 1,
    target_width: int = 1,
    normalized_coordinates: bool = False,
    spatial_scale: float = 1.0,
    box_coordinate_mode: str = "CORNERS_HEIGHT_FIRST",
    sampling_mode: str = "DEFAULT",
    pad_value: float = 0.0,
    max_elements: int = MAX_ELEMENTS,
) -> Tensor:
    """Cut boxes [N, 4] out of the images of their indices, by default box i out of image i."""
    indices = torch.arange(len(boxes)) if box_indices is None else box_indices
    check_room((indices.numel(), *x.shape[1:]), max_elements)
    check_room((indices.numel(), x.shape[1], target_height, target_width), max_elements)
    return _cut(
        x[positive(indices, x.shape[0])],
        boxes,
        (target_height, target_width),
        normalized_coordinates,
        spatial_scale,
        box_coordinate_mode,
        sampling_mode,
        pad_value,
    )


def _cut(
    images: Tensor,
    boxes: Tensor,
    size: tuple[int, int],
    normalized: bool,
    scale: float,
    box_mode: str,
    sampling_mode: str,
    pad_value: float,
) -> Tensor:
    """Cut one box [4] out of each image."""
    corners = _corners(boxes.double() * scale, box_mode)
    if normalized:
        height, width = images.shape[2:]
        corners = corners * torch.tensor([height - 1, width - 1] * 2)
    rows = torch.stack([_between(box[0::2], size[0], sampling_mode) for box in corners])
    columns = torch.stack([_between(box[1::2], size[1], sampling_mode) for box in corners])
    down = rows.to(images.dtype)[:, :, None].expand(-1, -1, size[1])
    across = columns.to(images.dtype)[:, None].expand(-1, size[0], -1)
    return _bilinear(images, down, across, pad_value, blend=False)


def _corners(boxes: Tensor, mode: str) -> Tensor:
    """Give [first row, first column, last row, last column]."""
    if mode.endswith("_WIDTH_FIRST"):
        boxes = boxes[:, [1, 0, 3, 2]]
    elif not mode.endswith("_HEIGHT_FIRST"):
        raise OpError(f"the box mode {mode!r} is not known")
    if mode.startswith("CENTER_SIZE_"):
        centre, half = boxes[:, :2], boxes[:, 2:] / 2
        return torch.cat([centre - half, centre + half], 1)
    if not mode.startswith("CORNERS_"):
        raise OpError(f"the box mode {mode!r} is not known")
    return boxes


def _between(ends: Tensor, count: int, mode: str) -> Tensor:
    start, end = ends.tolist()
    offsets = grid(mode, abs(end - start) + 1, count)
    return start + offsets if end >= start else start - offsets


def _normalized(count: int, align_corners: bool) -> Tensor:
    index = torch.arange(count, dtype=torch.float64)
    if align_corners:
        return index * 2 / (count - 1) - 1 if count > 1 else torch.zeros(1, dtype=torch.float64)
    return (index * 2 + 1) / count - 1


def _pixels(values: Tensor, size: int, mode: str, align_corners: bool) -> Tensor:
    if mode == "unnormalized":
        return values
    if mode == "normalized_minus_one_to_one":
        values = (values + 1) / 2
    elif mode != "normalized_zero_to_one":
        raise OpError(f"the coordinates mode {mode!r} is not known")
    return values * (size - 1) if align_corners else values * size - 0.5


def _outside(positions: Tensor, size: int, mode: str) -> Tensor:
    if mode == "constant":
        return positions
    if mode == "border":
        return positions.clamp(0, size - 1)
    if mode == "reflection":
        if size == 1:
            return torch.zeros_like(positions)
        folded = positions.abs() % (2 * (size - 1))
        return torch.minimum(folded, 2 * (size - 1) - folded)
    if mode == "symmetric":
        folded = (positions + 0.5).abs() % (2 * size)
        return (torch.minimum(folded, 2 * size - folded) - 0.5).clamp(0, size - 1)
    raise OpError(f"the padding mode {mode!r} is not known")


def _bilinear(
    x: Tensor, down: Tensor, across: Tensor, outside: float, *, blend: bool = True
) -> Tensor:
    """Interpolate at [n, height, width]; ``blend`` lets the outside count beside the border."""
    if not blend:
        height, width = x.shape[2:]
        inside = (down >= 0) & (down <= height - 1) & (across >= 0) & (across <= width - 1)
        values = _bilinear(x, down.clamp(0, height - 1), across.clamp(0, width - 1), 0.0)
        return torch.where(inside.unsqueeze(1), values, torch.tensor(outside, dtype=x.dtype))
    top, left = down.floor(), across.floor()
    lower, right = (down - top).unsqueeze(1), (across - left).unsqueeze(1)
    above = _taken(x, top, left, outside) * (1 - right) + _taken(x, top, left + 1, outside) * right
    below = _taken(x, top + 1, left, outside) * (1 - right)
    below = below + _taken(x, top + 1, left + 1, outside) * right
    return above * (1 - lower) + below * lower


def _taken(x: Tensor, down: Tensor, across: Tensor, outside: float) -> Tensor:
    height, width = x.shape[2:]
    inside = (down >= 0) & (down < height) & (across >= 0) & (across < width)
    rows = down.clamp(0, height - 1).to(torch.int64)
    columns = across.clamp(0, width - 1).to(torch.int64)
    places = (rows * width + columns).flatten(1).unsqueeze(1).expand(-1, x.shape[1], -1)
    values = x.flatten(2).gather(2, places).unflatten(2, down.shape[1:])
    return torch.where(inside.unsqueeze(1), values, torch.tensor(outside, dtype=x.dtype))
