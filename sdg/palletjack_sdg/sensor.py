"""The camera after the lens: from linear radiance to the 8-bit image that a robot would publish.

The stage knows nothing of how the frame was rendered, so frames of any renderer pass through it
alike. It keeps every pixel where it was (all kernels are centred), so labels stay valid.
"""

from __future__ import annotations

from typing import Annotated

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LinearImage = NDArray[np.float32]
SrgbImage = NDArray[np.uint8]

MIDDLE_GREY = 0.18
LUMINANCE_WEIGHTS = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def _ordered(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError(f"expected [low, high] with low <= high, found [{span[0]}, {span[1]}]")
    return span


def _positive(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] <= 0:
        raise ValueError(f"expected both ends above 0 (drawn on a log scale), found [{span[0]}, {span[1]}]")
    return span


Span = Annotated[tuple[float, float], AfterValidator(_ordered)]
LogSpan = Annotated[tuple[float, float], AfterValidator(_ordered), AfterValidator(_positive)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]


class SensorRanges(BaseModel):
    """What the recipe says about the sensor: uniform [low, high] ranges and probabilities.

    Lengths are in pixels of a 960-pixel-wide image and scale with the width. A ``*_probability``
    is the chance that the effect is present at all.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    exposure_ev: Span = Field(default=(-1.1, 0.9), description="error of the auto-exposure, in stops")
    exposure_extreme_probability: Probability = Field(
        default=0.12, description="chance of a badly exposed frame"
    )
    exposure_extreme_ev: Span = Field(
        default=(-2.4, 1.7), description="error of a badly exposed frame, in stops"
    )
    highlight_weight: Span = Field(
        default=(0.1, 0.7), description="share of the arithmetic mean in the metering"
    )
    white_balance_adaptation: Span = Field(
        default=(0.45, 1.0), description="how far a cast is neutralised, 0..1"
    )
    white_balance_error: Span = Field(default=(-0.16, 0.16), description="log gain error, red against blue")
    tint_error: Span = Field(default=(-0.06, 0.06), description="log gain error, green against magenta")
    vignetting: Span = Field(default=(0.0, 0.45), description="light lost in the corners, 0..1")
    glare: Span = Field(default=(0.0, 0.06), description="share of the light that is scattered by the lens")
    chromatic_aberration_px: Span = Field(
        default=(0.0, 0.9), description="shift of red and blue at the corners"
    )
    defocus_probability: Probability = 0.55
    defocus_px: LogSpan = Field(default=(0.3, 1.5), description="standard deviation of the blur")
    motion_probability: Probability = 0.35
    motion_px: LogSpan = Field(default=(1.5, 13.0), description="length of the path during the exposure")
    motion_angle_deg: Span = Field(default=(-25.0, 25.0), description="direction of the path, 0 = horizontal")
    resolution_probability: Probability = Field(
        default=0.35, description="chance of an image scaled up from less"
    )
    resolution_scale: Span = Field(default=(0.5, 0.95), description="its resolution against the frame's")
    shot_noise: LogSpan = Field(default=(2e-5, 3e-3), description="variance per unit of linear signal")
    read_noise: LogSpan = Field(default=(4e-4, 1.2e-2), description="standard deviation, linear signal")
    noise_grain_px: Span = Field(
        default=(0.0, 0.9), description="blur of the noise by demosaicing and in-camera denoising"
    )
    shoulder: Span = Field(default=(0.55, 0.98), description="linear signal from which highlights roll off")
    contrast: Span = Field(default=(-0.15, 0.35), description="strength of the S-curve; below 0 flattens")
    black_level: Span = Field(default=(0.0, 0.05), description="lift of the darkest tone")
    gamma: Span = Field(default=(0.9, 1.15), description="exponent upon the sRGB curve")
    saturation: Span = Field(default=(0.6, 1.3), description="1 = unchanged, 0 = grey")
    sharpening: Span = Field(default=(0.0, 0.9), description="strength of the in-camera unsharp mask")
    jpeg_probability: Probability = 0.85
    jpeg_quality: Span = Field(default=(35.0, 95.0), description="quality of the camera's own JPEG, 1..100")


class SensorParams(BaseModel):
    """The numbers of one frame's sensor. ``None`` means that the effect is absent."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exposure_ev: float = 0.0
    highlight_weight: Probability = 0.3
    white_balance_adaptation: Probability = 1.0
    white_balance_error: float = 0.0
    tint_error: float = 0.0
    vignetting: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    glare: Probability = 0.0
    chromatic_aberration_px: float = 0.0
    defocus_px: float | None = None
    motion_px: float | None = None
    motion_angle_deg: float = 0.0
    resolution_scale: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    shot_noise: Annotated[float, Field(ge=0.0)] = 0.0
    read_noise: Annotated[float, Field(ge=0.0)] = 0.0
    noise_grain_px: float = 0.0
    shoulder: Annotated[float, Field(gt=0.0, le=1.0)] = 0.8
    contrast: float = 0.0
    black_level: float = 0.0
    gamma: Annotated[float, Field(gt=0.0)] = 1.0
    saturation: Annotated[float, Field(ge=0.0)] = 1.0
    sharpening: Annotated[float, Field(ge=0.0)] = 0.0
    jpeg_quality: Annotated[int, Field(ge=1, le=100)] | None = None


def sample_sensor(ranges: SensorRanges, rng: np.random.Generator) -> SensorParams:
    """Draw the sensor of one frame; every call draws the same number of variates."""

    def uniform(span: tuple[float, float]) -> float:
        return float(rng.uniform(*span))

    def log_uniform(span: tuple[float, float]) -> float:
        return float(np.exp(rng.uniform(np.log(span[0]), np.log(span[1]))))

    def maybe(probability: float, value: float) -> float | None:
        return value if rng.random() < probability else None

    ordinary_ev, extreme_ev = uniform(ranges.exposure_ev), uniform(ranges.exposure_extreme_ev)
    extreme = maybe(ranges.exposure_extreme_probability, extreme_ev)
    quality = maybe(ranges.jpeg_probability, uniform(ranges.jpeg_quality))
    return SensorParams(
        exposure_ev=ordinary_ev if extreme is None else extreme,
        highlight_weight=uniform(ranges.highlight_weight),
        white_balance_adaptation=uniform(ranges.white_balance_adaptation),
        white_balance_error=uniform(ranges.white_balance_error),
        tint_error=uniform(ranges.tint_error),
        vignetting=uniform(ranges.vignetting),
        glare=uniform(ranges.glare),
        chromatic_aberration_px=uniform(ranges.chromatic_aberration_px),
        defocus_px=maybe(ranges.defocus_probability, log_uniform(ranges.defocus_px)),
        motion_px=maybe(ranges.motion_probability, log_uniform(ranges.motion_px)),
        motion_angle_deg=uniform(ranges.motion_angle_deg),
        resolution_scale=maybe(ranges.resolution_probability, uniform(ranges.resolution_scale)),
        shot_noise=log_uniform(ranges.shot_noise),
        read_noise=log_uniform(ranges.read_noise),
        noise_grain_px=uniform(ranges.noise_grain_px),
        shoulder=uniform(ranges.shoulder),
        contrast=uniform(ranges.contrast),
        black_level=uniform(ranges.black_level),
        gamma=uniform(ranges.gamma),
        saturation=uniform(ranges.saturation),
        sharpening=uniform(ranges.sharpening),
        jpeg_quality=None if quality is None else round(quality),
    )


def apply_sensor(linear: LinearImage, params: SensorParams, rng: np.random.Generator) -> SrgbImage:
    """Develop scene radiance ``linear`` (H, W, 3) into an sRGB image (H, W, 3) of uint8.

    The order is that of the light: lens, exposure and white balance, sensor noise, tone curve,
    in-camera sharpening, JPEG. ``rng`` draws the noise only. Values that are not finite count as 0.

    Raises:
        ValueError: ``linear`` is not (H, W, 3).
    """
    if linear.ndim != 3 or linear.shape[2] != 3 or 0 in linear.shape:
        raise ValueError(f"apply_sensor: expected a linear image of shape (H, W, 3), found {linear.shape}")
    image = np.nan_to_num(linear.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    image = np.maximum(image, 0.0)
    scale = image.shape[1] / 960.0
    image = image * (_exposure_gain(image, params) * _white_balance_gains(image, params))
    image = _lens(image, params, scale)
    image = _noise(image, params, rng)
    image = _tone_curve(image, params)
    image = _saturate(image, params.saturation)
    image = _sharpen(image, params.sharpening)
    encoded = np.clip(image * 255.0 + 0.5, 0.0, 255.0).astype(np.uint8)
    if params.jpeg_quality is not None:
        encoded = _jpeg_round_trip(encoded, params.jpeg_quality)
    return encoded


def _exposure_gain(image: LinearImage, params: SensorParams) -> np.float32:
    """Gain that puts the metered luminance on middle grey, times the exposure error.

    The metering mixes the geometric mean, which ignores windows and lamps, with the arithmetic
    mean, which they dominate: real cameras lie between.
    """
    luminance = image @ LUMINANCE_WEIGHTS
    mean = float(luminance.mean())
    if mean <= 1e-12:
        return np.float32(1.0)
    geometric = float(np.exp(np.log(np.maximum(luminance, 1e-3 * mean)).mean()))
    weight = params.highlight_weight
    metered = geometric ** (1.0 - weight) * mean**weight
    return np.float32(MIDDLE_GREY / metered * 2.0**params.exposure_ev)


def _white_balance_gains(image: LinearImage, params: SensorParams) -> LinearImage:
    """Per-channel gains (3,): a partial grey-world correction and the camera's error."""
    # Blown-out parts say nothing of the light's colour, so the brightest decile is left out.
    luminance = image @ LUMINANCE_WEIGHTS
    bright, dark = np.quantile(luminance[::4, ::4], (0.9, 0.1))
    chosen = image[(luminance <= bright) & (luminance >= dark)]
    means = np.maximum(chosen.mean(axis=0) if len(chosen) else image.mean(axis=(0, 1)), 1e-9)
    gains = (means[1] / means) ** params.white_balance_adaptation
    error = params.white_balance_error
    gains = gains * np.exp([error, params.tint_error, -error])
    # White balance shifts colour, not exposure.
    gains = gains / float(gains @ LUMINANCE_WEIGHTS)
    return gains.astype(np.float32)


def _lens(image: LinearImage, params: SensorParams, scale: float) -> LinearImage:
    height, width = image.shape[:2]
    if params.glare > 0.0:
        image = _add_glare(image, params.glare)
    if params.vignetting > 0.0:
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        x, y = (x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5
        falloff = 1.0 - params.vignetting * 2.0 * (x * x + y * y)
        image = image * falloff[..., None]
    if params.chromatic_aberration_px > 0.0:
        image = _shift_red_and_blue(image, params.chromatic_aberration_px * scale)
    if params.resolution_scale is not None:
        image = _lose_resolution(image, params.resolution_scale)
    # Radiance is clipped far above white before blurs, so that a lamp smears but does not flood.
    image = np.minimum(image, np.float32(12.0))
    if params.defocus_px is not None:
        image = _blur(image, params.defocus_px * scale)
    if params.motion_px is not None:
        kernel = motion_kernel(params.motion_px * scale, params.motion_angle_deg)
        image = np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE), dtype=np.float32)
    return image


def _blur(image: LinearImage, sigma_px: float) -> LinearImage:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), dtype=np.float32)


def _add_glare(image: LinearImage, share: float) -> LinearImage:
    height, width = image.shape[:2]
    small = cv2.resize(
        np.minimum(image, np.float32(20.0)), (width // 8 or 1, height // 8 or 1), interpolation=cv2.INTER_AREA
    )
    near = cv2.GaussianBlur(small, (0, 0), max(small.shape[1] * 0.02, 0.5))
    far = cv2.GaussianBlur(small, (0, 0), max(small.shape[1] * 0.12, 0.5))
    veil = cv2.resize(0.6 * near + 0.4 * far, (width, height), interpolation=cv2.INTER_LINEAR)
    return (1.0 - share) * image + np.float32(share) * veil


def _shift_red_and_blue(image: LinearImage, shift_px: float) -> LinearImage:
    """Magnify red and shrink blue about the centre so that they part by ``shift_px`` at the corners."""
    height, width = image.shape[:2]
    center = np.array([width / 2.0 - 0.5, height / 2.0 - 0.5])
    relative = shift_px / float(np.hypot(width, height) / 2.0)
    shifted = image.copy()
    for channel, factor in ((0, 1.0 + relative), (2, 1.0 - relative)):
        matrix = np.array([[factor, 0.0, 0.0], [0.0, factor, 0.0]])
        matrix[:, 2] = center * (1.0 - factor)
        shifted[..., channel] = cv2.warpAffine(
            np.ascontiguousarray(image[..., channel]),
            matrix,
            (width, height),
            borderMode=cv2.BORDER_REPLICATE,
        )
    return shifted


def _lose_resolution(image: LinearImage, resolution_scale: float) -> LinearImage:
    height, width = image.shape[:2]
    size = (max(1, round(width * resolution_scale)), max(1, round(height * resolution_scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def motion_kernel(length_px: float, angle_deg: float) -> LinearImage:
    """Return a centred square kernel that sums to 1 along a straight path of ``length_px``."""
    radius = max(1, int(np.ceil(length_px / 2.0)))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=np.float32)
    steps = np.linspace(-0.5, 0.5, 16 * radius + 1) * length_px
    angle = np.radians(angle_deg)
    columns, rows = radius + steps * np.cos(angle), radius + steps * np.sin(angle)
    column0, row0 = np.floor(columns).astype(int), np.floor(rows).astype(int)
    for dc in (0, 1):
        for dr in (0, 1):
            weight = np.abs(1 - dc - (columns - column0)) * np.abs(1 - dr - (rows - row0))
            inside = (column0 + dc < kernel.shape[1]) & (row0 + dr < kernel.shape[0])
            np.add.at(kernel, (row0[inside] + dr, column0[inside] + dc), weight[inside].astype(np.float32))
    return kernel / kernel.sum()


def _noise(image: LinearImage, params: SensorParams, rng: np.random.Generator) -> LinearImage:
    """Shot noise (variance proportional to the signal) and read noise, in linear signal."""
    if params.shot_noise == 0.0 and params.read_noise == 0.0:
        return image
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    if params.noise_grain_px > 0.05:
        grain = _blur(grain, params.noise_grain_px)
        grain /= max(float(grain.std()), 1e-6)
        # In-camera denoising removes part of what it smears.
        grain *= 1.0 / (1.0 + params.noise_grain_px)
    deviation = np.sqrt(params.shot_noise * np.minimum(image, 1.5) + params.read_noise**2)
    return image + deviation.astype(np.float32) * grain


def _tone_curve(image: LinearImage, params: SensorParams) -> LinearImage:
    """Highlight roll-off, sRGB transfer curve, S-curve about middle grey and black level."""
    start = params.shoulder
    signal = np.clip(image, 0.0, None)
    if start < 1.0:
        # Exponential shoulder: slope 1 where it starts, approaching 1.15 (so lamps and windows clip).
        room = 1.15 - start
        excess = np.maximum(signal - start, 0.0)
        signal = np.where(signal > start, start + room * (1.0 - np.exp(-excess / room)), signal)
    signal = np.clip(signal, 0.0, 1.0)
    encoded = srgb_encode(signal) ** np.float32(params.gamma)
    if params.contrast != 0.0:
        smooth = encoded * encoded * (3.0 - 2.0 * encoded)
        encoded = encoded + np.float32(params.contrast) * (smooth - encoded)
    return (params.black_level + (1.0 - params.black_level) * encoded).astype(np.float32)


def srgb_encode(linear: LinearImage) -> LinearImage:
    """Transfer curve of IEC 61966-2-1, linear 0..1 to encoded 0..1."""
    low = linear * np.float32(12.92)
    high = np.float32(1.055) * np.power(np.maximum(linear, 1e-8), np.float32(1.0 / 2.4)) - np.float32(0.055)
    return np.where(linear <= 0.0031308, low, high).astype(np.float32)


def srgb_decode(encoded: NDArray[np.float32]) -> LinearImage:
    """Inverse of ``srgb_encode``: encoded 0..1 to linear 0..1."""
    low = encoded / np.float32(12.92)
    high = np.power((np.maximum(encoded, 0.0) + np.float32(0.055)) / np.float32(1.055), np.float32(2.4))
    return np.where(encoded <= 0.04045, low, high).astype(np.float32)


def _saturate(image: LinearImage, saturation: float) -> LinearImage:
    if saturation == 1.0:
        return image
    grey = np.asarray(image @ LUMINANCE_WEIGHTS, dtype=np.float32)[..., None]
    return grey + np.float32(saturation) * (image - grey)


def _sharpen(image: LinearImage, strength: float) -> LinearImage:
    if strength == 0.0:
        return image
    return image + np.float32(strength) * (image - _blur(image, 1.1))


def _jpeg_round_trip(image: SrgbImage, quality: int) -> SrgbImage:
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), dtype=np.uint8)
