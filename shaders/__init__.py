"""GLSL text only; `render.program` reads and compiles it."""
