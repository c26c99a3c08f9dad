"""The colours of the panel, dark and light."""

from imgui_bundle import ImVec4, imgui

from app.preferences import Theme

_Colour = tuple[float, float, float, float]

# Slots of imgui's style that this panel does not draw with carry its own four.
_GOOD, _NOTICE = imgui.Col_.plot_histogram, imgui.Col_.plot_histogram_hovered
_FAULT, _FAINT = imgui.Col_.drag_drop_target, imgui.Col_.text_disabled
_RECORDING, _PAD_LINES = imgui.Col_.table_header_bg, imgui.Col_.table_border_light
_CHOSEN = imgui.Col_.table_border_strong

_DARK: dict[imgui.Col_, _Colour] = {
    imgui.Col_.window_bg: (0.115, 0.122, 0.135, 0.97),
    imgui.Col_.popup_bg: (0.15, 0.158, 0.175, 0.98),
    imgui.Col_.frame_bg: (0.215, 0.227, 0.25, 1.0),
    imgui.Col_.frame_bg_hovered: (0.27, 0.285, 0.31, 1.0),
    imgui.Col_.frame_bg_active: (0.30, 0.315, 0.345, 1.0),
    imgui.Col_.button: (0.25, 0.265, 0.29, 1.0),
    imgui.Col_.button_hovered: (0.32, 0.335, 0.365, 1.0),
    imgui.Col_.button_active: (0.38, 0.40, 0.43, 1.0),
    imgui.Col_.header: (0.30, 0.345, 0.40, 1.0),
    imgui.Col_.header_hovered: (0.34, 0.39, 0.45, 1.0),
    imgui.Col_.slider_grab: (0.36, 0.43, 0.52, 1.0),  # words stand on it
    imgui.Col_.slider_grab_active: (0.42, 0.51, 0.63, 1.0),
    imgui.Col_.check_mark: (0.65, 0.73, 0.82, 1.0),
    imgui.Col_.plot_lines: (0.62, 0.70, 0.80, 1.0),
    imgui.Col_.title_bg_active: (0.15, 0.158, 0.175, 1.0),
    imgui.Col_.tab: (0.17, 0.18, 0.20, 1.0),
    imgui.Col_.tab_hovered: (0.34, 0.39, 0.45, 1.0),
    imgui.Col_.tab_selected: (0.30, 0.345, 0.40, 1.0),
    imgui.Col_.tab_selected_overline: (0.0, 0.0, 0.0, 0.0),
    imgui.Col_.text: (0.92, 0.93, 0.94, 1.0),
    imgui.Col_.modal_window_dim_bg: (0.05, 0.05, 0.06, 0.5),
    _FAINT: (0.66, 0.68, 0.71, 1.0),
    _GOOD: (0.45, 0.80, 0.52, 1.0),
    _NOTICE: (0.95, 0.77, 0.36, 1.0),
    _FAULT: (0.97, 0.50, 0.44, 1.0),
    _RECORDING: (0.62, 0.16, 0.14, 1.0),
    _PAD_LINES: (0.40, 0.42, 0.45, 0.55),
    _CHOSEN: (0.50, 0.68, 0.90, 1.0),
}
_LIGHT: dict[imgui.Col_, _Colour] = {
    imgui.Col_.window_bg: (0.955, 0.957, 0.96, 0.98),
    imgui.Col_.popup_bg: (0.98, 0.98, 0.985, 0.99),
    imgui.Col_.frame_bg: (0.875, 0.882, 0.895, 1.0),
    imgui.Col_.frame_bg_hovered: (0.83, 0.845, 0.865, 1.0),
    imgui.Col_.frame_bg_active: (0.78, 0.80, 0.83, 1.0),
    imgui.Col_.button: (0.84, 0.85, 0.87, 1.0),
    imgui.Col_.button_hovered: (0.78, 0.80, 0.83, 1.0),
    imgui.Col_.button_active: (0.71, 0.74, 0.78, 1.0),
    imgui.Col_.header: (0.76, 0.83, 0.91, 1.0),
    imgui.Col_.header_hovered: (0.70, 0.79, 0.89, 1.0),
    imgui.Col_.slider_grab: (0.64, 0.72, 0.82, 1.0),
    imgui.Col_.slider_grab_active: (0.52, 0.64, 0.78, 1.0),
    imgui.Col_.check_mark: (0.20, 0.34, 0.52, 1.0),
    imgui.Col_.plot_lines: (0.22, 0.38, 0.58, 1.0),
    imgui.Col_.title_bg_active: (0.84, 0.85, 0.87, 1.0),
    imgui.Col_.tab: (0.88, 0.89, 0.90, 1.0),
    imgui.Col_.tab_hovered: (0.70, 0.79, 0.89, 1.0),
    imgui.Col_.tab_selected: (0.76, 0.83, 0.91, 1.0),
    imgui.Col_.tab_selected_overline: (0.0, 0.0, 0.0, 0.0),
    imgui.Col_.text: (0.10, 0.11, 0.13, 1.0),
    imgui.Col_.modal_window_dim_bg: (0.05, 0.05, 0.06, 0.4),
    _FAINT: (0.36, 0.38, 0.41, 1.0),
    _GOOD: (0.08, 0.44, 0.18, 1.0),
    _NOTICE: (0.52, 0.33, 0.00, 1.0),
    _FAULT: (0.70, 0.12, 0.08, 1.0),
    _RECORDING: (0.93, 0.62, 0.58, 1.0),
    _PAD_LINES: (0.55, 0.57, 0.60, 0.55),
    _CHOSEN: (0.16, 0.42, 0.74, 1.0),
}


def apply_theme(theme: Theme) -> None:
    """Colour all that is drawn from now on."""
    style = imgui.get_style()
    if theme is Theme.LIGHT:
        imgui.style_colors_light(style)
    else:
        imgui.style_colors_dark(style)
    for index, colour in (_LIGHT if theme is Theme.LIGHT else _DARK).items():
        style.set_color_(index, ImVec4(*colour))


def good() -> ImVec4:
    """All is well, or somebody speaks."""
    return _of(_GOOD)


def notice() -> ImVec4:
    """Something is under way."""
    return _of(_NOTICE)


def fault() -> ImVec4:
    """Something is wrong."""
    return _of(_FAULT)


def faint() -> ImVec4:
    """Words beside the matter."""
    return _of(_FAINT)


def recording() -> ImVec4:
    """The ground of the button that stops a recording."""
    return _of(_RECORDING)


def pad_lines() -> ImVec4:
    return _of(_PAD_LINES)


def chosen() -> ImVec4:
    """Around what is chosen."""
    return _of(_CHOSEN)


def _of(index: imgui.Col_) -> ImVec4:
    colour = imgui.get_style().color_(index)
    return ImVec4(colour.x, colour.y, colour.z, colour.w)
