#version 330 core
// Puts one splat on the screen of one view: the upright rectangle that holds all of it that counts.
// In: `splats`, four texels for each (world space, metres), and the number of the one to draw.
// Out: pixels with (0, 0) at the picture's top left, which is the image's first row: y is not
// turned over, so that pictures are read out the way they are kept.
uniform sampler2D splats; // mean and opacity | rotation w, x, y, z | scales | colour
uniform mat3 camera_from_world; // its rotation; to OpenCV axes: x right, y down, z forward
uniform vec3 world_in_camera; // its translation, metres
uniform vec4 lens; // fx, fy, cx, cy, pixels
uniform vec2 image_size; // pixels
in uint splat;
flat out vec2 centre; // pixels
flat out vec3 conic; // inverse of the screen covariance: xx, xy, yy, 1/pixels²
flat out vec4 paint; // colour, opacity

const float LARGEST = 1e30; // beyond lie infinity and, as it fails every test, NaN

vec4 part(int index) {
    int at = 4 * int(splat) + index;
    return texelFetch(splats, ivec2(at % TEXTURE_WIDTH, at / TEXTURE_WIDTH), 0);
}

// The turn of a unit quaternion (w, x, y, z), as columns.
mat3 turn(vec4 q) {
    float w = q.x, x = q.y, y = q.z, z = q.w;
    return mat3(
        1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
        2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
        2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y)
    );
}

void main() {
    gl_Position = vec4(2.0, 2.0, 2.0, 1.0); // outside, where the splat is left out
    centre = vec2(0.0);
    conic = vec3(0.0);
    paint = vec4(0.0);
    vec4 mean = part(0);
    vec3 place = camera_from_world * mean.xyz + world_in_camera;
    vec2 focal = lens.xy, middle = lens.zw;
    vec2 aside = place.xy / place.z;
    vec2 margin = FRUSTUM_MARGIN * image_size / focal;
    vec2 held = clamp(aside, -middle / focal - margin, (image_size - middle) / focal + margin);
    // Screen covariance: Kerbl et al. 2023, eq. 5. The rows of the projection's Jacobian, turned
    // into the world, then along the splat's three axes: u for screen x, v for screen y.
    vec3 right = vec3(camera_from_world[0].x, camera_from_world[1].x, camera_from_world[2].x);
    vec3 down = vec3(camera_from_world[0].y, camera_from_world[1].y, camera_from_world[2].y);
    vec3 ahead = vec3(camera_from_world[0].z, camera_from_world[1].z, camera_from_world[2].z);
    mat3 axes = turn(part(1));
    vec3 scales = part(2).xyz;
    vec3 u = focal.x / place.z * ((right - held.x * ahead) * axes) * scales;
    vec3 v = focal.y / place.z * ((down - held.y * ahead) * axes) * scales;
    float xx = dot(u, u), yy = dot(v, v), xy = dot(u, v);
    // |u|²|v|² - (u.v)² as a sum of squares (Lagrange): the plain difference loses all its digits
    // on long thin splats.
    vec3 across = cross(u, v);
    float determinant = dot(across, across) + SCREEN_BLUR * (xx + yy) + SCREEN_BLUR * SCREEN_BLUR;
    xx += SCREEN_BLUR;
    yy += SCREEN_BLUR;
    vec2 at = focal * aside + middle;
    float opacity = mean.w;
    // As far out as it has LEAST_ALPHA left, and a hundredth of a pixel against rounding.
    float reach = sqrt(2.0 * log(max(opacity / LEAST_ALPHA, 1.0)));
    vec2 extent = reach * sqrt(vec2(xx, yy)) + 0.01;
    // Held within the image: rasterisers round the corners of what reaches far beyond it. A
    // rectangle along the splat's own axes covers less, but was no faster on llvmpipe.
    vec2 least = clamp(at - extent, vec2(0.0), image_size);
    vec2 most = clamp(at + extent, vec2(0.0), image_size);
    bool finite = determinant < LARGEST && abs(at.x) < LARGEST && abs(at.y) < LARGEST;
    if (finite && least.x < most.x && least.y < most.y) {
        centre = at;
        conic = vec3(yy, -xy, xx) / determinant;
        paint = vec4(part(3).rgb, opacity);
        vec2 corner = vec2(gl_VertexID & 1, gl_VertexID >> 1);
        gl_Position = vec4(2.0 * mix(least, most, corner) / image_size - 1.0, 0.0, 1.0);
    }
}
