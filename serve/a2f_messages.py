"""The messages of Audio2Face-3D's bidirectional protocol, wire-compatible, made from the table below at import.

Only numbers and types travel, so our own names do; `nvidia-audio2face-3d`, the public client package, is not needed.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "nvidia_ace.services.a2f_controller.v1.A2FControllerService"
"""Full name that clients call."""

_PACKAGE = "expclip.a2f"
_MESSAGES: dict[str, str] = {
    "AudioHeader": "audio_format=1 int32; channel_count=2 uint32; samples_per_second=3 uint32; "
    "bits_per_sample=4 uint32",
    "FaceParameters": "float_params=1 map",
    "EmotionPostProcessingParameters": "emotion_contrast=1 float; live_blend_coef=2 float; enable_preferred_emotion=3 "
    "bool; preferred_emotion_strength=4 float; emotion_strength=5 float; max_emotions=6 int32",
    "BlendShapeParameters": "bs_weight_multipliers=1 map; bs_weight_offsets=2 map; enable_clamping_bs_weight=3 bool",
    "EmotionParameters": "live_transition_time=1 float; beginning_emotion=2 map",
    "AudioStreamHeader": "audio_header=1 AudioHeader; face_params=2 FaceParameters; emotion_post_processing_params=3 "
    "EmotionPostProcessingParameters; blendshape_params=4 BlendShapeParameters; emotion_params=5 EmotionParameters",
    "EmotionWithTimeCode": "time_code=1 double; emotion=2 map",
    "AudioWithEmotion": "audio_buffer=1 bytes; emotions=2 EmotionWithTimeCode*",
    "EndOfAudio": "",
    "AudioStream": "audio_stream_header=1 AudioStreamHeader|; audio_with_emotion=2 AudioWithEmotion|; "
    "end_of_audio=3 EndOfAudio|",
    "SkelAnimationHeader": "blend_shapes=1 string*; joints=2 string*",
    "AnimationDataStreamHeader": "audio_header=1 AudioHeader; skel_animation_header=2 SkelAnimationHeader; "
    "start_time_code_since_epoch=3 double",
    "FloatArrayWithTimeCode": "time_code=1 double; values=2 float*",
    "SkelAnimation": "blend_shape_weights=1 FloatArrayWithTimeCode*",
    "AudioWithTimeCode": "time_code=1 double; audio_buffer=2 bytes",
    "AnimationData": "skel_animation=1 SkelAnimation; audio=2 AudioWithTimeCode",
    "Event": "event_type=1 int32",
    "Status": "code=1 int32; message=2 string",
    "AnimationDataStream": "animation_data_stream_header=1 AnimationDataStreamHeader|; "
    "animation_data=2 AnimationData|; event=3 Event|; status=4 Status|",
}
"""Message -> its fields: name=number type, `*` repeated, `|` one of those so marked; map is map<string, float>."""

_FIELD = descriptor_pb2.FieldDescriptorProto


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="expclip_a2f.proto", package=_PACKAGE, syntax="proto2")
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for part in filter(None, (p.strip() for p in text.split(";"))):
            _add(message, part)
    return file


def _add(message: descriptor_pb2.DescriptorProto, part: str) -> None:
    left, kind = part.split()
    name, number = left.split("=")
    field = message.field.add(name=name, number=int(number), label=_FIELD.LABEL_OPTIONAL)
    if kind.endswith("|"):
        if not message.oneof_decl:
            message.oneof_decl.add(name="stream_part")
        field.oneof_index = 0
    if kind.endswith("*") or kind == "map":
        field.label = _FIELD.LABEL_REPEATED
    kind = kind.rstrip("*|")
    if kind == "map":
        entry = message.nested_type.add(name=_camel(name) + "Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_STRING)
        entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL, type=_FIELD.TYPE_FLOAT)
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{message.name}.{entry.name}"
    elif kind in _MESSAGES:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = _FIELD.Type.Value(f"TYPE_{kind.upper()}")
        if field.label == _FIELD.LABEL_REPEATED and kind == "float":
            field.options.packed = True


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


AudioStream: Any = _class("AudioStream")
"""What clients send."""
AnimationDataStream: Any = _class("AnimationDataStream")
"""What they get."""
