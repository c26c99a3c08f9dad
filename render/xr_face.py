"""Cameras in the headset that watch the wearer's own face: XR_FB_face_tracking2 (Meta, Virtual
Desktop) and XR_HTC_facial_tracking (Vive). Weights as the extension has them, `render.headset`
says in which order."""

import ctypes
import logging
from typing import Any

import numpy as np

from avatar.types import Float
from render.headset import FaceWeights
from render.xr_runtime import xr

log = logging.getLogger(__name__)

FB, HTC = "XR_FB_face_tracking2", "XR_HTC_facial_tracking"
FB_COUNT, FB_CONFIDENCES = 70, 2
HTC_EYES, HTC_LIPS = 14, 37


class FaceTracking:
    """One of the two, for one session."""

    def __init__(self, fb: Any = None, eyes: Any = None, lips: Any = None) -> None:
        self._fb, self._eyes, self._lips = fb, eyes, lips

    def read(self, display_time: int) -> FaceWeights | None:
        """The wearer's face at that moment; None while it is not seen."""
        if self._fb is not None:
            weights = self._read_fb(display_time)
            return None if weights is None else FaceWeights(fb=weights)
        eyes = self._read_htc(self._eyes, HTC_EYES)
        lips = self._read_htc(self._lips, HTC_LIPS)
        return None if eyes is None and lips is None else FaceWeights(htc_eyes=eyes, htc_lips=lips)

    def release(self) -> None:
        """Give the trackers back to a runtime that still lives."""
        if self._fb is not None:
            xr.destroy_face_tracker2_fb(self._fb)
        for tracker in (self._eyes, self._lips):
            if tracker is not None:
                xr.destroy_facial_tracker_htc(tracker)

    def _read_fb(self, display_time: int) -> Float | None:
        weights = (ctypes.c_float * FB_COUNT)()
        confidences = (ctypes.c_float * FB_CONFIDENCES)()
        found = xr.FaceExpressionWeights2FB(
            weight_count=FB_COUNT,
            weights=weights,
            confidence_count=FB_CONFIDENCES,
            confidences=confidences,
        )
        _call(
            *(self._fb, "xrGetFaceExpressionWeights2FB", xr.PFN_xrGetFaceExpressionWeights2FB),
            *(ctypes.byref(xr.FaceExpressionInfo2FB(time=display_time)), ctypes.byref(found)),
        )
        return np.array(weights, np.float32) if found.is_valid else None

    def _read_htc(self, tracker: Any, count: int) -> Float | None:
        if tracker is None:
            return None
        weights = (ctypes.c_float * count)()
        found = xr.FacialExpressionsHTC(expression_count=count, expression_weightings=weights)
        _call(
            *(tracker, "xrGetFacialExpressionsHTC", xr.PFN_xrGetFacialExpressionsHTC),
            ctypes.byref(found),
        )
        return np.array(weights, np.float32) if found.is_active else None


def face_tracking(session: Any, extensions: frozenset[str], properties: Any) -> FaceTracking | None:
    """What this headset has of it; None where it has none or the wearer has forbidden it.
    `properties`: asks the system to fill in a structure, and gives it back."""
    try:
        if FB in extensions:
            told = properties(xr.SystemFaceTrackingProperties2FB())
            if told.supports_visual_face_tracking:
                return FaceTracking(fb=_fb_tracker(session))
        if HTC in extensions:
            told = properties(xr.SystemFacialTrackingPropertiesHTC())
            kinds = xr.FacialTrackingTypeHTC
            eyes = lips = None
            if told.support_eye_facial_tracking:
                eyes = _htc_tracker(session, kinds.EYE_DEFAULT)
            if told.support_lip_facial_tracking:
                lips = _htc_tracker(session, kinds.LIP_DEFAULT)
            if eyes is not None or lips is not None:
                return FaceTracking(eyes=eyes, lips=lips)
    except xr.exception.XrException as error:
        log.info("no face tracking: the headset refuses it (%s)", type(error).__name__)
    return None


def _fb_tracker(session: Any) -> Any:
    # Only what cameras see: where there are none Meta guesses the face from sound, as we do.
    sources = (ctypes.c_int * 1)(xr.FaceTrackingDataSource2FB.VISUAL.value)
    info = xr.FaceTrackerCreateInfo2FB(
        face_expression_set=xr.FaceExpressionSet2FB.DEFAULT,
        requested_data_source_count=1,
        requested_data_sources=sources,
    )
    return xr.create_face_tracker2_fb(session, info)


def _htc_tracker(session: Any, kind: Any) -> Any:
    return xr.create_facial_tracker_htc(
        session, xr.FacialTrackerCreateInfoHTC(facial_tracking_type=kind)
    )


def _call(tracker: Any, name: str, kind: Any, *arguments: Any) -> None:
    """By its pointer: pyopenxr 1.1.6501's own functions ask for no weights at all."""
    function = ctypes.cast(xr.get_instance_proc_addr(tracker.instance, name), kind)
    problem = xr.check_result(xr.Result(function(tracker, *arguments)))
    if problem.is_exception():
        raise problem
