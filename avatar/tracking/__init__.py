"""A real face moves an avatar: FaceMesh landmarks of a film or camera -> motion frames."""
