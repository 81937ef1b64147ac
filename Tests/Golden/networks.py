"""The architectures of Sources/Networks in torch.nn, their parameters under the names Swift gives them.

make_networks.py draws golden arrays from them, and Benchmarks/Peers/unet.py times them.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class SinusoidalFeatures(nn.Module):
    """c -> (c, sin w c, cos w c), the frequencies w in geometric progression."""

    def __init__(self, count, lowest, highest):
        super().__init__()
        step = math.log(highest / lowest) / max(count - 1, 1)
        frequencies = torch.tensor([lowest * math.exp(step * i) for i in range(count)], dtype=torch.float64)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.count = 2 * count + 1

    def forward(self, c):
        phases = c[:, None] * self.frequencies.to(c.dtype)
        return torch.cat([c[:, None], phases.sin(), phases.cos()], dim=1)


class MLP(nn.Module):
    def __init__(self, dimension, width, depth, condition_width=0):
        super().__init__()
        self.noise_features = SinusoidalFeatures(4, 0.5, 4)
        inputs = dimension + self.noise_features.count + condition_width
        self.layers = nn.ModuleList(nn.Linear(inputs if i == 0 else width, width) for i in range(depth))
        self.last = nn.Linear(width, dimension)
        self.condition_width, self.feature_width = condition_width, width

    def features(self, x, noise, condition=None):
        parts = [x, self.noise_features(noise)]
        if self.condition_width:
            parts.append(x.new_zeros(len(x), self.condition_width) if condition is None else condition)
        h = torch.cat(parts, dim=1)
        for layer in self.layers:
            h = F.silu(layer(h))
        return h

    def output(self, features):
        return self.last(features)


class ScalarHead(nn.Module):
    def __init__(self, feature_width):
        super().__init__()
        self.hidden = nn.Linear(feature_width, feature_width)
        self.last = nn.Linear(feature_width, 1)

    def forward(self, features):
        pooled = features.mean(dim=(2, 3)) if features.ndim > 2 else features
        return self.last(F.silu(self.hidden(pooled)))[:, 0]


def group_norm(channels):
    """At least four channels a group, at most 32 groups."""
    groups = next(n for n in range(max(1, min(32, channels // 4)), 0, -1) if channels % n == 0)
    return nn.GroupNorm(groups, channels, eps=1e-5)


class NoiseEmbedding(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.features = SinusoidalFeatures(16, 0.5, 16)
        self.hidden = nn.Linear(self.features.count, width)
        self.last = nn.Linear(width, width)

    def forward(self, noise):
        return self.last(F.silu(self.hidden(self.features(noise))))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs, embedding_width):
        super().__init__()
        self.norm1 = group_norm(inputs)
        self.convolution1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.embedding = nn.Linear(embedding_width, 2 * outputs)
        self.norm2 = group_norm(outputs)
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        if inputs != outputs:
            self.skip = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x, embedding):
        h = self.convolution1(F.silu(self.norm1(x)))
        scale, shift = self.embedding(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        h = self.convolution2(F.silu(h))
        return (self.skip(x) if hasattr(self, "skip") else x) + h


class SelfAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.heads = heads
        self.norm = group_norm(channels)
        self.projections = nn.Conv2d(channels, 3 * channels, 1)
        self.last = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        B, C, H, W = x.shape
        projected = self.projections(self.norm(x)).reshape(B, 3, self.heads, C // self.heads, H * W)
        query, key, value = projected.transpose(-2, -1).unbind(1)
        attended = F.scaled_dot_product_attention(query, key, value)
        return x + self.last(attended.transpose(-2, -1).reshape(B, C, H, W))


class Level(nn.Module):
    """`enter` comes from the level before and changes its channels; blocks follow, each with its attention."""

    def __init__(self, enter, blocks, attention):
        super().__init__()
        if enter is not None:
            self.enter = enter
        self.blocks, self.attention = nn.ModuleList(blocks), nn.ModuleList(attention)

    def step(self, index, h, embedding):
        h = self.blocks[index](h, embedding)
        return self.attention[index](h) if self.attention else h


class Middle(nn.Module):
    def __init__(self, blocks, attention):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if attention is not None:
            self.attention = attention

    def forward(self, h, embedding):
        h = self.blocks[0](h, embedding)
        return self.blocks[1](self.attention(h) if hasattr(self, "attention") else h, embedding)


class UNet(nn.Module):
    def __init__(self, channels, width, multipliers, blocks, attention, heads, condition_width, embedding_width):
        super().__init__()
        widths = [width * m for m in multipliers]
        E, deepest = embedding_width, widths[-1]
        self.noise = NoiseEmbedding(E)
        if condition_width:
            self.condition = nn.Linear(condition_width, E, bias=False)
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)

        def attentions(level, count):
            return [SelfAttention(widths[level], heads) for _ in range(count if level in attention else 0)]

        self.encoder = nn.ModuleList(
            Level(
                nn.Conv2d(widths[i - 1], w, 3, stride=2, padding=1) if i > 0 else None,
                [ResidualBlock(w, w, E) for _ in range(blocks)], attentions(i, blocks))
            for i, w in enumerate(widths))
        self.middle = Middle(
            [ResidualBlock(deepest, deepest, E) for _ in range(2)], SelfAttention(deepest, heads) if attention else None)
        self.decoder = nn.ModuleList(
            Level(
                nn.Conv2d(widths[i + 1], w, 3, padding=1) if i + 1 < len(widths) else None,
                [ResidualBlock(2 * w, w, E) for _ in range(blocks + 1)], attentions(i, blocks + 1))
            for i, w in enumerate(widths))
        self.norm = group_norm(widths[0])
        self.last = nn.Conv2d(widths[0], channels, 3, padding=1)
        self.feature_width = widths[0]

    def features(self, x, noise, condition=None):
        embedding = self.noise(noise)
        if condition is not None:
            embedding = embedding + self.condition(condition)
        embedding = F.silu(embedding)
        h = self.first(x[:, None] if x.ndim == 3 else x)
        kept = []
        for level in self.encoder:
            if hasattr(level, "enter"):
                h = level.enter(h)
            kept.append(h)
            for index in range(len(level.blocks)):
                h = level.step(index, h, embedding)
                kept.append(h)
        h = self.middle(h, embedding)
        for level in reversed(self.decoder):
            if hasattr(level, "enter"):
                h = level.enter(F.interpolate(h, scale_factor=2, mode="nearest"))
            for index in range(len(level.blocks)):
                h = level.step(index, torch.cat([h, kept.pop()], dim=1), embedding)
        return h

    def output(self, features):
        return self.last(F.silu(self.norm(features)))

    def forward(self, x, noise, condition=None):
        return self.output(self.features(x, noise, condition)).reshape(x.shape)


def make(architecture, configuration):
    """A network from its configuration in Swift's spelling."""
    python = {"conditionWidth": "condition_width", "embeddingWidth": "embedding_width"}
    return architecture(**{python.get(key, key): value for key, value in configuration.items()})
