// What the motion adds to a splat at rest (avatar/residual.py has the formula): features of the motion
// times weights of the splat. In and out: the splat as `bound` of head_splats.comp has it.
layout(std430, binding = 5) readonly buffer ResidualRows { ivec2 residual_rows[]; }; // face, pose; -1: none
// Of the face, then of the pose: a feature's five pairs of halves, each for all rows side by side.
layout(std430, binding = 6) readonly buffer ResidualBases { uint residual_bases[]; };
uniform int features_at; // in `numbers`, those of the face, then those of the pose
uniform int face_features, pose_features;
uniform int face_rows, pose_rows;

// red, green | blue, opacity | log sizes | weights of B and C | height, turn about z
struct Residual { vec2 red_green, blue_opacity, log_size, place, height_turn; };

void add_part(int first_feature, int features, int first_base, int rows, int row, inout Residual sum) {
    if (row < 0) {
        return;
    }
    int base = first_base + row;
    for (int k = first_feature; k < first_feature + features; k++) {
        float feature = numbers[k];
        sum.red_green += feature * unpackHalf2x16(residual_bases[base]);
        sum.blue_opacity += feature * unpackHalf2x16(residual_bases[base + rows]);
        sum.log_size += feature * unpackHalf2x16(residual_bases[base + 2 * rows]);
        sum.place += feature * unpackHalf2x16(residual_bases[base + 3 * rows]);
        sum.height_turn += feature * unpackHalf2x16(residual_bases[base + 4 * rows]);
        base += 5 * rows;
    }
}

// The glance of a splat that has residuals is added here: their sum is held to 0..1.
void add_residuals(
    int splat, inout vec4 on, inout vec4 turn, inout vec4 scales, inout vec4 colours, inout vec3 glance
) {
    ivec2 row = residual_rows[splat];
    if (max(row.x, row.y) < 0) {
        return;
    }
    vec2 nothing = vec2(0.0);
    Residual sum = Residual(nothing, nothing, nothing, nothing, nothing);
    add_part(features_at, face_features, 0, face_rows, row.x, sum);
    add_part(
        features_at + face_features, pose_features, 5 * face_features * face_rows, pose_rows, row.y, sum
    );
    vec3 colour = colours.rgb + vec3(sum.red_green, sum.blue_opacity.x);
    colours.rgb = clamp(colour + numbers[AT_GLANCE] * glance, 0.0, 1.0);
    glance = vec3(0.0);
    scales.w = clamp(scales.w + sum.blue_opacity.y, 0.0, 1.0);
    float most = numbers[AT_MOST_LOG_SIZE];
    scales.xy *= exp(clamp(sum.log_size, -most, most));
    on.xyz += vec3(sum.place, sum.height_turn.x);
    float half_turn = 0.5 * sum.height_turn.y, cosine = cos(half_turn), sine = sin(half_turn);
    turn = cosine * turn + sine * vec4(-turn.w, turn.z, -turn.y, turn.x);
}
