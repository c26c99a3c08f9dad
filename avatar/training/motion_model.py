"""The motion generator in torch, for training; `avatar.speech.motion_network` runs the weights.

A causal transformer over tokens of two frames (40 ms) reads what was heard, what is asked and what
the face did, and a small network on top of it turns noise into the next token by flow matching
(Lipman et al. 2023, "Flow matching for generative modeling"; the split into a causal transformer
and a small generative head follows Li et al. 2024, "Autoregressive image generation without vector
quantization"). What VASA-1 does a window at a time is done here a token at a time: the window
before it is the last `CONTEXT` tokens, so there are no borders between windows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from avatar.motion.latent import LATENT_SIZE

TOKEN_FRAMES = 2
"""Motion frames of 20 ms that are made at once."""
TOKEN_SIZE = TOKEN_FRAMES * LATENT_SIZE
HEARD_SIZE = 23
"""Of a frame: 11 odds of viseme classes, 8 articulators, 3 lips, loudness."""
ASKED_SIZE = 12
"""Emotion [8], main gaze [2], distance, articulation."""
CONTEXT = 64
"""Tokens that a token attends to, itself among them: 2.56 s."""
WIDTH, LAYERS, HEADS = 192, 5, 6
FLOW_WIDTH, FLOW_LAYERS, TIME_SIZE = 256, 3, 32
_LEAST_PACE = 0.01
AIM_TOKENS = 25
"""The face's aim is its mean over the next second."""
PULL = torch.tensor([0.05, 0.1])
"""Share of the way to its aim that the face goes in each frame of a token: moods and turns of the
head are slow against the chance of 40 ms, which would drown them."""
INPUT_SIZE = TOKEN_SIZE + 2 + TOKEN_FRAMES * HEARD_SIZE + 1 + ASKED_SIZE + 2


class MotionModel(nn.Module):
    """What was heard, asked and done -> a state a token; and the flow from noise to the token."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(INPUT_SIZE, WIDTH)
        self.blocks = nn.ModuleList(TransformerBlock() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.aim = nn.Linear(WIDTH, LATENT_SIZE)
        self.flow = FlowHead()
        self.pace: Tensor
        """[TOKEN_SIZE] spread of how far a token's frames are from the last frame before it. The
        flow works in these units from that frame on: a head that turns slowly is drawn as slowly,
        which no noise of the whole range's size could do."""
        self.register_buffer("pace", torch.ones(TOKEN_SIZE))

    def states(self, inputs: Tensor) -> Tensor:
        """[B, T, INPUT_SIZE] -> [B, T, WIDTH]; token t sees tokens up to itself."""
        stream = self.enter(inputs)
        reach = reach_index(inputs.shape[1], inputs.device)
        for block in self.blocks:
            stream = block(stream, reach)
        return self.norm(stream)


class TransformerBlock(nn.Module):
    """Pre-normalised attention with a learned bias for each distance in time, and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(WIDTH)
        self.query_key_value = nn.Linear(WIDTH, 3 * WIDTH)
        self.leave = nn.Linear(WIDTH, WIDTH)
        self.reach_bias = nn.Parameter(-0.03 * torch.arange(CONTEXT).float().repeat(HEADS, 1))
        self.mlp_norm = nn.LayerNorm(WIDTH)
        self.widen = nn.Linear(WIDTH, 4 * WIDTH)
        self.narrow = nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, stream: Tensor, reach: Tensor) -> Tensor:
        """`reach` [T, T]: how many tokens ago, or CONTEXT where a token may not look."""
        batch, tokens, _ = stream.shape
        mixed = self.query_key_value(self.attention_norm(stream))
        query, key, value = mixed.view(batch, tokens, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        never = torch.full((HEADS, 1), -1e9, device=stream.device)
        bias = torch.cat([self.reach_bias, never], 1)[:, reach]
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias.to(query.dtype)
        )
        stream = stream + self.leave(seen.transpose(1, 2).reshape(batch, tokens, WIDTH))
        hidden = functional.gelu(self.widen(self.mlp_norm(stream)), approximate="tanh")
        return stream + self.narrow(hidden)


class FlowHead(nn.Module):
    """Velocity of a noisy token [.., TOKEN_SIZE] at time 0 (noise) .. 1 (motion), given a state."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Linear(TOKEN_SIZE, FLOW_WIDTH)
        self.condition = nn.Linear(WIDTH + TIME_SIZE, FLOW_WIDTH)
        self.modulations = nn.ModuleList(
            nn.Linear(FLOW_WIDTH, 3 * FLOW_WIDTH) for _ in range(FLOW_LAYERS)
        )
        self.widens = nn.ModuleList(nn.Linear(FLOW_WIDTH, FLOW_WIDTH) for _ in range(FLOW_LAYERS))
        self.narrows = nn.ModuleList(nn.Linear(FLOW_WIDTH, FLOW_WIDTH) for _ in range(FLOW_LAYERS))
        self.leave = nn.Linear(FLOW_WIDTH, TOKEN_SIZE)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, noisy: Tensor, time: Tensor, state: Tensor) -> Tensor:
        """`time` [.., 1]."""
        stream = self.enter(noisy)
        known = functional.silu(self.condition(torch.cat([state, time_waves(time)], -1)))
        for modulation, widen, narrow in zip(
            self.modulations, self.widens, self.narrows, strict=True
        ):
            gain, shift, gate = modulation(known).chunk(3, -1)
            normal = functional.layer_norm(stream, (FLOW_WIDTH,))
            hidden = functional.silu(widen(normal * (1 + gain) + shift))
            stream = stream + gate * narrow(hidden)
        return self.leave(functional.layer_norm(stream, (FLOW_WIDTH,)))


def time_waves(time: Tensor) -> Tensor:
    """[.., 1] -> [.., TIME_SIZE] sines and cosines of the flow's time."""
    rates = torch.exp(torch.linspace(0, 5, TIME_SIZE // 2, device=time.device))
    return torch.cat([torch.sin(time * rates), torch.cos(time * rates)], -1)


def reach_index(tokens: int, device: torch.device) -> Tensor:
    """[T, T] how many tokens before its row a column lies; CONTEXT where it may not be seen."""
    place = torch.arange(tokens, device=device)
    ago = place[:, None] - place[None]
    return torch.where((ago >= 0) & (ago < CONTEXT), ago, CONTEXT)


def inputs_of(
    before: Tensor,
    known: Tensor,
    noise: Tensor,
    heard: Tensor,
    hears: Tensor,
    asked: Tensor,
    feels: Tensor,
    looks: Tensor,
) -> Tensor:
    """[B, T, INPUT_SIZE] from the tokens before and the conditions.

    `before` [B, T, TOKEN_SIZE] with `known` [B, T, 1] (1 or 0) and `noise` [B, T, 1], the spread of
    what was added to it, in units of the pace; `heard` [B, T, 2 x HEARD_SIZE] and `asked`
    [B, T, ASKED_SIZE] with their switches [B, T, 1]: 0 = this condition is dropped.
    """
    emotion, gaze, manner = asked[..., :8], asked[..., 8:10], asked[..., 10:]
    return torch.cat(
        [
            before * known, known, noise, heard * hears, hears,
            emotion * feels, manner * feels, gaze * looks, feels, looks,
        ],
        -1,
    )  # fmt: skip


def steps_of(model: MotionModel, before: Tensor, aim: Tensor, tokens: Tensor) -> Tensor:
    """[.., TOKEN_SIZE] how far `tokens` are, in units of the pace, from where the face would be if
    it only went on from the last frame `before` towards its `aim`, [.., LATENT_SIZE]."""
    last = last_frame(before)
    towards = aim.repeat(*(1,) * (aim.dim() - 1), TOKEN_FRAMES) - last
    return (tokens - last - PULL.to(last).repeat_interleave(LATENT_SIZE) * towards) / model.pace


def aims_of(tokens: Tensor, ends: Tensor) -> Tensor:
    """[N, LATENT_SIZE] the mean face of the `AIM_TOKENS` after each of [N, TOKEN_SIZE] tokens, or
    of as many as there are before the stream `ends` [N] (index of the token after its last)."""
    sums = torch.cat([torch.zeros(1, LATENT_SIZE, dtype=torch.float64),
                      tokens[:, -LATENT_SIZE:].double().cumsum(0)])  # fmt: skip
    first = torch.arange(len(tokens))
    last = torch.minimum(first + AIM_TOKENS, ends)
    return ((sums[last] - sums[first]) / (last - first)[:, None]).float()


def pace_of(before: Tensor, tokens: Tensor) -> Tensor:
    """[TOKEN_SIZE] for tokens [N, TOKEN_SIZE] and those before them."""
    return (tokens - last_frame(before)).std(0).clamp(min=_LEAST_PACE)


def last_frame(tokens: Tensor) -> Tensor:
    """[.., TOKEN_SIZE] each token's last frame, as often as a token has frames."""
    return tokens[..., -LATENT_SIZE:].repeat(*(1,) * (tokens.dim() - 1), TOKEN_FRAMES)


def flow_loss(model: MotionModel, states: Tensor, steps: Tensor, weight: Tensor) -> Tensor:
    """Flow matching along straight paths: the squared error of the velocity, [TOKEN_SIZE] weighted.

    `steps` [.., TOKEN_SIZE] from `steps_of`. Times are drawn more often near the middle
    (logit-normal, Esser et al. 2024), on the processor, so that a seed means the same on a card.
    """
    time = torch.sigmoid(torch.randn(*steps.shape[:-1], 1)).to(steps.device)
    noise = torch.randn(steps.shape).to(steps.device)
    noisy = (1 - time) * noise + time * steps
    velocity = model.flow(noisy, time, states)
    return ((velocity - (steps - noise)).pow(2) * weight).mean()
