"""Audio classifiers of transformers: waveforms `[B, T]`, features `[B, T, F]`, spectrograms `[B, F, T]`."""

from __future__ import annotations

from typing import Any

from benchmarks.models.entry import Entry
from benchmarks.models.tiny import tiny

LABELS: dict[str, Any] = {"num_labels": 5, "classifier_proj_size": 24}
BODY: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
WAVE: dict[str, Any] = {
    "conv_dim": [16, 16, 16],
    "conv_kernel": [10, 3, 3],
    "conv_stride": [5, 2, 2],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
# 490 samples: (490 - 10) / 5 + 1 = 97, (97 - 3) / 2 + 1 = 48, (48 - 3) // 2 + 1 = 23 steps.
SAMPLES, STEPS = (490,), (23,)
WAVE_INPUT = "the input is a waveform `[B, T]` without a channel axis"


def entries() -> list[Entry]:
    """The audio classifiers."""
    return [*waveforms(), *squeezed(), bert(), whisper(), spectrogram()]


def steps(name: str, layers: tuple[str, ...], why: str, *, variant: str = "", **settings: Any) -> Entry:
    """An entry whose time steps are projected, averaged and classified."""
    return Entry(
        name=f"transformers/{name}{variant}",
        make=tiny(name, **BODY | LABELS | WAVE | settings),
        image=SAMPLES,
        layers=layers,
        grid=STEPS,
        layout="tokens",
        output="logits",
        kind="audio",
        why=f"{why}; {WAVE_INPUT}",
    )


def waveforms() -> list[Entry]:
    """wav2vec 2.0 and its relatives: convolutions over the waveform, then a transformer over 23 steps."""
    mean = "the steps are projected, then averaged (modeling_{source}): the projection, {before}"
    stable = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
    last = "or the last block, which ends in a norm"
    return [
        steps(
            "Wav2Vec2ForSequenceClassification",
            ("projector", "wav2vec2.encoder.layers.1"),
            mean.format(source="wav2vec2.py:1719, :1721", before=last),
        ),
        steps(
            "Wav2Vec2ForSequenceClassification",
            ("projector", "wav2vec2.encoder.layer_norm", "wav2vec2.encoder.layers.1"),
            mean.format(source="wav2vec2.py:1719, :1721", before="or the norm behind the blocks, or the last block"),
            variant="-stable-eager",
            attn_implementation="eager",
            **stable,
        ),
        steps(
            "HubertForSequenceClassification",
            ("projector", "hubert.encoder.layers.1"),
            mean.format(source="hubert.py:1099, :1101", before=last),
        ),
        steps(
            "UniSpeechForSequenceClassification",
            ("projector", "unispeech.encoder.layers.1"),
            mean.format(source="unispeech.py:1292, :1294", before=last),
        ),
        steps(
            "UniSpeechSatForSequenceClassification",
            ("projector", "unispeech_sat.encoder.layers.1"),
            mean.format(source="unispeech_sat.py:1290, :1292", before=last),
        ),
        steps(
            "WavLMForSequenceClassification",
            ("projector",),
            mean.format(
                source="wavlm.py:1271, :1273", before="since a block returns a tuple with its relative positions, :415"
            ),
        ),
        steps(
            "Data2VecAudioForSequenceClassification",
            ("projector", "data2vec_audio.encoder.layers.1"),
            mean.format(source="data2vec_audio.py:952, :954", before=last),
            conv_pos_kernel_size=5,
            num_conv_pos_embeddings=2,
        ),
        steps(
            "Wav2Vec2ConformerForSequenceClassification",
            ("projector", "wav2vec2_conformer.encoder.layer_norm"),
            mean.format(source="wav2vec2_conformer.py:1567, :1569", before="or the norm behind the blocks"),
            conv_depthwise_kernel_size=7,
        ),
    ]


def squeezed() -> list[Entry]:
    """SEW and SEW-D: every two steps are one within the transformer, and two again behind it."""
    # 510 samples: 101, 50, 24 steps, an even number, so that `upsample` gives all of them.
    found = []
    for name, path, source, extra in (
        ("SEWForSequenceClassification", "sew", "modeling_sew.py:470, :968", {}),
        (
            "SEWDForSequenceClassification",
            "sew_d",
            "modeling_sew_d.py:1118, :1495",
            {"max_position_embeddings": 64, "position_buckets": 16},
        ),
    ):
        found.append(
            Entry(
                name=f"transformers/{name}",
                make=tiny(name, **BODY | LABELS | WAVE | {"squeeze_factor": 2} | extra),
                image=(510,),
                layers=("projector", f"{path}.encoder.upsample"),
                grid=(24,),
                layout="tokens",
                output="logits",
                kind="audio",
                why=f"the steps come back to 24 in `upsample`, are projected and averaged ({source}); the blocks see "
                f"12; {WAVE_INPUT}",
            )
        )
    return found


def bert() -> Entry:
    """Wav2Vec2-BERT, which takes features made before."""
    return Entry(
        name="transformers/Wav2Vec2BertForSequenceClassification",
        make=tiny(
            "Wav2Vec2BertForSequenceClassification",
            **BODY | LABELS,
            feature_projection_input_dim=20,
            conv_depthwise_kernel_size=7,
        ),
        image=(30, 20),
        layers=("projector", "wav2vec2_bert.encoder.layers.1"),
        grid=(30,),
        layout="tokens",
        output="logits",
        kind="audio",
        why="the steps are projected, then averaged (modeling_wav2vec2_bert.py:1206, :1208), or the last block, which "
        "ends in a norm; the input is `[B, T, F]`: time first, 20 features for each of 30 steps",
    )


def whisper() -> Entry:
    """Whisper's encoder."""
    return Entry(
        name="transformers/WhisperForAudioClassification",
        make=tiny(
            "WhisperForAudioClassification",
            **LABELS,
            num_mel_bins=20,
            max_source_positions=30,
            d_model=32,
            encoder_layers=2,
            encoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_layers=1,
            decoder_attention_heads=4,
            decoder_ffn_dim=64,
            vocab_size=20,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
            begin_suppress_tokens=None,
        ),
        image=(20, 60),
        layers=("projector", "encoder.layer_norm", "encoder.layers.1"),
        grid=(30,),
        layout="tokens",
        output="logits",
        kind="audio",
        why="the steps are projected, then averaged (modeling_whisper.py:1380, :1381), or the encoder's last norm, or "
        "its last block; `conv2` halves 60 frames `[B, mel, T]` to 30",
    )


def spectrogram() -> Entry:
    """The Audio Spectrogram Transformer."""
    return Entry(
        name="transformers/ASTForAudioClassification",
        make=tiny(
            "ASTForAudioClassification",
            num_labels=5,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=64,
            patch_size=8,
            frequency_stride=6,
            time_stride=6,
            max_length=44,
            num_mel_bins=26,
        ),
        image=(44, 26),
        layers=("audio_spectrogram_transformer.layers.2.layernorm_before", "audio_spectrogram_transformer.layers.1"),
        grid=(7, 4),
        layout="other",
        to_map=lambda tokens: tokens[:, 2:].transpose(1, 2).unflatten(2, (4, 7)).transpose(2, 3),
        output="logits",
        kind="audio",
        why="the class and the distillation token are averaged and classified "
        "(modeling_audio_spectrogram_transformer.py:303): the norm in front of the last attention, or the block "
        "before; the input is `[B, time, mel]` without a channel axis, turned around (:59), so the tokens stand over "
        "(frequency, time): (26 - 8) / 6 + 1 = 4, (44 - 8) / 6 + 1 = 7; patches overlap. (A map has the axes of what "
        "the caller gave, (time, mel); the first version of this line had the tokens' own order.)",
    )
