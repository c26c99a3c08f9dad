"""Everything we raise on purpose.

* VisavisError              the base; its text is one line fit to show to a person
  + PortraitError           a picture cannot become an avatar: no face, a dog, damaged, too small
  + SoundError              a sound cannot be read: not sound, empty, damaged
  + VideoError              a video cannot be read, or no face can be followed in it
  + AvatarFileError         a file is not an avatar, is damaged, or of a version not readable here
  + GaussianFileError       a .ply is not of 3D Gaussians, is damaged, or was asked to move
  + MotionFileError         a motion file cannot be read or written
  + VoiceFileError          a file is not a speaker's calibration, is damaged, or fits no more
  + AssetError              a file that ships with the program is missing or damaged
  + DeviceError             a microphone, window or display is missing or was lost
  + ShaderError             GLSL or a kernel is missing, includes itself, or did not compile
  + OutputError             a result cannot be written where it was asked for

A text says what, expected, got, and what to do, in one line:
``"me.avatar: format 3, this build reads 1. Update the program or make the avatar again."``
"""


class VisavisError(Exception):
    """The base of all our errors. The command line prints its text and exits with status 1."""


class PortraitError(VisavisError):
    """A picture cannot become an avatar."""


class SoundError(VisavisError):
    """A sound file cannot be read, or holds no sound."""


class VideoError(VisavisError):
    """A video cannot be read, holds no pictures, or shows no face that can be followed."""


class AvatarFileError(VisavisError):
    """A file is not an avatar, is damaged, or is of a version that this build cannot read."""


class GaussianFileError(VisavisError):
    """A file of Gaussians that stand still cannot be read, or more is asked of it than to stand."""


class MotionFileError(VisavisError):
    """A motion file cannot be read or written."""


class VoiceFileError(VisavisError):
    """A file is not a speaker's calibration, is damaged, or was made for other speech weights."""


class AssetError(VisavisError):
    """A file that ships with the program is missing or damaged; a reinstall repairs it."""


class DeviceError(VisavisError):
    """A microphone, display or window is missing, busy, or was lost."""


class ShaderError(VisavisError):
    """A shader is missing, includes itself, or did not compile."""


class OutputError(VisavisError):
    """A result cannot be written: no such folder, no permission, an ending we do not know."""
