/* Unpacks .tfcz files; FORMAT.md describes the format, tfcz.h the three functions. */
#include "tfcz.h"

#include <string.h>

enum { CONTEXTS = 6, CLASSES = 29, LEVELS = 32, MAX_CONTEXTS = 64, PRIOR = 48, FIRST_REBUILD = 256 };
enum { LAST_REBUILD = 1 << 18, SHORTEST = 6, SURE = 12, LOOK_BACK = 32, LONGEST = 65535, ZEROS = 16 };
enum { NONE, MEAN, SIGNED, COLUMN, PLANE, UNIFORM, PREDICTED, CONSTANT = 15, TAPS = 4 };
enum { MAX_GROUPS = 1023, MAX_SEGMENTS = 65535, MAX_PERIOD = 65536, MAX_LANES = 4096, SPARE = 4096 };
enum { LEAST_STATE = 1 << 16, LARGEST_MEAN = 131072, MAX_DIRECTORY = 1 << 22, QUICK = 3 };
enum { POSITIONS = 4, LITERALS = 0x300, SPECIAL = 115, DICTIONARY = 1 << 20 }; /* of LZMA */

/* PRIMER BEGIN: embed_primer.py writes what follows, and a 0 so that it is never empty */
static const uint8_t primer[] = {
    28, 0, 0, 0, 84, 70, 76, 51, 20, 0, 32, 0, 28, 0, 24, 0, 20, 0, 16, 0, 12, 0, 0, 0,
    8, 0, 4, 0, 20, 0, 0, 0, 28, 0, 0, 0, 140, 0, 0, 0, 228, 0, 0, 0, 116, 7, 0, 0,
    132, 7, 0, 0, 132, 23, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0, 10, 0,
    16, 0, 12, 0, 8, 0, 4, 0, 10, 0, 0, 0, 12, 0, 0, 0, 28, 0, 0, 0, 56, 0, 0, 0,
    15, 0, 0, 0, 115, 101, 114, 118, 105, 110, 103, 95, 100, 101, 102, 97, 117, 108, 116, 0, 1, 0, 0, 0,
    4, 0, 0, 0, 156, 255, 255, 255, 16, 0, 0, 0, 4, 0, 0, 0, 7, 0, 0, 0, 100, 101, 110, 115,
    101, 95, 49, 0, 1, 0, 0, 0, 4, 0, 0, 0, 110, 248, 255, 255, 4, 0, 0, 0, 5, 0, 0, 0,
    105, 109, 97, 103, 101, 0, 0, 0, 2, 0, 0, 0, 52, 0, 0, 0, 4, 0, 0, 0, 220, 255, 255, 255,
    10, 0, 0, 0, 4, 0, 0, 0, 19, 0, 0, 0, 67, 79, 78, 86, 69, 82, 83, 73, 79, 78, 95, 77,
    69, 84, 65, 68, 65, 84, 65, 0, 8, 0, 12, 0, 8, 0, 4, 0, 8, 0, 0, 0, 9, 0, 0, 0,
    4, 0, 0, 0, 19, 0, 0, 0, 109, 105, 110, 95, 114, 117, 110, 116, 105, 109, 101, 95, 118, 101, 114, 115,
    105, 111, 110, 0, 12, 0, 0, 0, 140, 6, 0, 0, 252, 5, 0, 0, 164, 5, 0, 0, 84, 4, 0, 0,
    68, 2, 0, 0, 20, 2, 0, 0, 252, 1, 0, 0, 172, 1, 0, 0, 196, 0, 0, 0, 164, 0, 0, 0,
    52, 0, 0, 0, 4, 0, 0, 0, 18, 249, 255, 255, 4, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 62, 249, 255, 255, 4, 0, 0, 0, 96, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0,
    8, 0, 14, 0, 8, 0, 4, 0, 8, 0, 0, 0, 16, 0, 0, 0, 36, 0, 0, 0, 0, 0, 6, 0,
    8, 0, 4, 0, 6, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 24, 0, 20, 0, 16, 0,
    12, 0, 4, 0, 12, 0, 0, 0, 128, 36, 249, 95, 137, 145, 216, 213, 3, 0, 0, 0, 2, 0, 0, 0,
    4, 0, 0, 0, 6, 0, 0, 0, 50, 46, 50, 49, 46, 48, 0, 0, 170, 249, 255, 255, 4, 0, 0, 0,
    16, 0, 0, 0, 49, 46, 54, 46, 48, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 198, 249, 255, 255,
    4, 0, 0, 0, 216, 0, 0, 0, 170, 250, 255, 255, 4, 0, 0, 0, 64, 0, 0, 0, 246, 250, 255, 255,
    4, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 10, 251, 255, 255, 4, 0, 0, 0,
    32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 54, 251, 255, 255, 4, 0, 0, 0, 0, 2, 0, 0,
    66, 253, 255, 255, 4, 0, 0, 0, 64, 1, 0, 0, 142, 254, 255, 255, 4, 0, 0, 0, 72, 0, 0, 0,
    226, 254, 255, 255, 4, 0, 0, 0, 128, 0, 0, 0, 96, 246, 255, 255, 15, 0, 0, 0, 77, 76, 73, 82,
    32, 67, 111, 110, 118, 101, 114, 116, 101, 100, 46, 0, 1, 0, 0, 0, 20, 0, 0, 0, 0, 0, 14, 0,
    24, 0, 20, 0, 16, 0, 12, 0, 8, 0, 4, 0, 14, 0, 0, 0, 20, 0, 0, 0, 28, 0, 0, 0,
    124, 2, 0, 0, 128, 2, 0, 0, 132, 2, 0, 0, 4, 0, 0, 0, 109, 97, 105, 110, 0, 0, 0, 0,
    8, 0, 0, 0, 20, 2, 0, 0, 168, 1, 0, 0, 84, 1, 0, 0, 0, 1, 0, 0, 204, 0, 0, 0,
    120, 0, 0, 0, 64, 0, 0, 0, 4, 0, 0, 0, 130, 254, 255, 255, 28, 0, 0, 0, 0, 0, 0, 9,
    28, 0, 0, 0, 32, 0, 0, 0, 5, 0, 0, 0, 0, 0, 6, 0, 8, 0, 4, 0, 6, 0, 0, 0,
    0, 0, 128, 63, 1, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 15, 0, 0, 0, 138, 255, 255, 255,
    20, 0, 0, 0, 0, 0, 0, 8, 16, 0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 40, 247, 255, 255,
    1, 0, 0, 0, 15, 0, 0, 0, 3, 0, 0, 0, 14, 0, 0, 0, 3, 0, 0, 0, 255, 255, 255, 255,
    238, 254, 255, 255, 28, 0, 0, 0, 0, 0, 0, 8, 28, 0, 0, 0, 32, 0, 0, 0, 4, 0, 0, 0,
    0, 0, 6, 0, 8, 0, 7, 0, 6, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 14, 0, 0, 0,
    3, 0, 0, 0, 13, 0, 0, 0, 4, 0, 0, 0, 255, 255, 255, 255, 0, 0, 14, 0, 24, 0, 20, 0,
    16, 0, 12, 0, 11, 0, 4, 0, 14, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 27, 16, 0, 0, 0,
    20, 0, 0, 0, 3, 0, 0, 0, 172, 247, 255, 255, 1, 0, 0, 0, 13, 0, 0, 0, 2, 0, 0, 0,
    12, 0, 0, 0, 6, 0, 0, 0, 110, 255, 255, 255, 36, 0, 0, 0, 0, 0, 0, 5, 52, 0, 0, 0,
    56, 0, 0, 0, 2, 0, 0, 0, 0, 0, 14, 0, 24, 0, 23, 0, 16, 0, 12, 0, 8, 0, 4, 0,
    14, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1,
    1, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 11, 0, 0, 0, 86, 255, 255, 255, 16, 0, 0, 0,
    0, 0, 0, 1, 28, 0, 0, 0, 32, 0, 0, 0, 72, 255, 255, 255, 0, 0, 0, 3, 1, 0, 0, 0,
    1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 11, 0, 0, 0, 3, 0, 0, 0, 10, 0, 0, 0,
    1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 14, 0, 26, 0, 20, 0, 16, 0, 12, 0, 11, 0, 4, 0,
    14, 0, 0, 0, 36, 0, 0, 0, 0, 0, 0, 2, 52, 0, 0, 0, 56, 0, 0, 0, 1, 0, 0, 0,
    0, 0, 14, 0, 24, 0, 23, 0, 16, 0, 12, 0, 8, 0, 7, 0, 14, 0, 0, 0, 0, 0, 0, 1,
    1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 10, 0, 0, 0,
    3, 0, 0, 0, 9, 0, 0, 0, 2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 14, 0, 20, 0, 0, 0,
    16, 0, 12, 0, 11, 0, 4, 0, 14, 0, 0, 0, 28, 0, 0, 0, 0, 0, 0, 1, 40, 0, 0, 0,
    44, 0, 0, 0, 12, 0, 20, 0, 19, 0, 12, 0, 8, 0, 7, 0, 12, 0, 0, 0, 0, 0, 0, 1,
    1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 9, 0, 0, 0, 3, 0, 0, 0,
    0, 0, 0, 0, 8, 0, 0, 0, 17, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0,
    0, 0, 0, 0, 18, 0, 0, 0, 220, 12, 0, 0, 152, 11, 0, 0, 148, 10, 0, 0, 160, 9, 0, 0,
    196, 7, 0, 0, 16, 7, 0, 0, 160, 6, 0, 0, 144, 5, 0, 0, 196, 4, 0, 0, 60, 4, 0, 0,
    160, 3, 0, 0, 20, 3, 0, 0, 152, 2, 0, 0, 36, 2, 0, 0, 168, 1, 0, 0, 60, 1, 0, 0,
    208, 0, 0, 0, 20, 0, 0, 0, 0, 0, 14, 0, 24, 0, 20, 0, 19, 0, 12, 0, 8, 0, 4, 0,
    14, 0, 0, 0, 20, 0, 0, 0, 132, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 2, 156, 0, 0, 0,
    124, 243, 255, 255, 8, 0, 0, 0, 72, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 108, 111, 252, 54,
    137, 27, 241, 54, 128, 232, 242, 54, 123, 64, 246, 54, 165, 118, 221, 54, 60, 240, 249, 54, 145, 10, 236, 54,
    166, 77, 248, 54, 28, 0, 0, 0, 97, 114, 105, 116, 104, 46, 99, 111, 110, 115, 116, 97, 110, 116, 95, 100,
    117, 112, 108, 105, 99, 97, 116, 101, 100, 95, 49, 55, 0, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0,
    74, 244, 255, 255, 0, 0, 0, 1, 16, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 9, 72, 0, 0, 0,
    52, 244, 255, 255, 8, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255, 255,
    0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 128, 59, 25, 0, 0, 0, 83, 116, 97, 116, 101, 102, 117, 108,
    80, 97, 114, 116, 105, 116, 105, 111, 110, 101, 100, 67, 97, 108, 108, 58, 48, 0, 0, 0, 2, 0, 0, 0,
    1, 0, 0, 0, 10, 0, 0, 0, 178, 244, 255, 255, 0, 0, 0, 1, 16, 0, 0, 0, 48, 0, 0, 0,
    0, 0, 0, 9, 72, 0, 0, 0, 156, 244, 255, 255, 8, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0,
    248, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 1, 0, 0, 0, 119, 155, 172, 57, 25, 0, 0, 0,
    109, 111, 100, 101, 108, 95, 49, 47, 100, 101, 110, 115, 101, 95, 49, 95, 50, 47, 77, 97, 116, 77, 117, 108,
    49, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 10, 0, 0, 0, 26, 245, 255, 255, 0, 0, 0, 1,
    16, 0, 0, 0, 48, 0, 0, 0, 0, 0, 0, 9, 88, 0, 0, 0, 4, 245, 255, 255, 8, 0, 0, 0,
    20, 0, 0, 0, 1, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 1, 0, 0, 0,
    7, 65, 88, 57, 43, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 100, 101, 110, 115, 101, 95, 49, 47,
    77, 97, 116, 77, 117, 108, 59, 109, 111, 100, 101, 108, 95, 49, 47, 100, 101, 110, 115, 101, 95, 49, 47, 82,
    101, 108, 117, 0, 2, 0, 0, 0, 1, 0, 0, 0, 32, 0, 0, 0, 146, 245, 255, 255, 0, 0, 0, 1,
    16, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 9, 80, 0, 0, 0, 124, 245, 255, 255, 8, 0, 0, 0,
    16, 0, 0, 0, 1, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 234, 201, 89, 57,
    39, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 103, 108, 111, 98, 97, 108, 95, 97, 118, 101, 114, 97,
    103, 101, 95, 112, 111, 111, 108, 105, 110, 103, 50, 100, 95, 49, 47, 77, 101, 97, 110, 0, 2, 0, 0, 0,
    1, 0, 0, 0, 16, 0, 0, 0, 2, 246, 255, 255, 0, 0, 0, 1, 16, 0, 0, 0, 48, 0, 0, 0,
    0, 0, 0, 9, 80, 0, 0, 0, 236, 245, 255, 255, 8, 0, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0,
    128, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0, 1, 0, 0, 0, 95, 252, 254, 57, 33, 0, 0, 0,
    109, 111, 100, 101, 108, 95, 49, 47, 109, 97, 120, 95, 112, 111, 111, 108, 105, 110, 103, 50, 100, 95, 49, 47,
    77, 97, 120, 80, 111, 111, 108, 50, 100, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 6, 0, 0, 0,
    6, 0, 0, 0, 16, 0, 0, 0, 122, 246, 255, 255, 0, 0, 0, 1, 16, 0, 0, 0, 44, 0, 0, 0,
    0, 0, 0, 9, 96, 0, 0, 0, 100, 246, 255, 255, 8, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0,
    128, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 95, 252, 254, 57, 55, 0, 0, 0, 109, 111, 100, 101,
    108, 95, 49, 47, 99, 111, 110, 118, 50, 100, 95, 49, 95, 50, 47, 82, 101, 108, 117, 54, 59, 109, 111, 100,
    101, 108, 95, 49, 47, 99, 111, 110, 118, 50, 100, 95, 49, 95, 50, 47, 99, 111, 110, 118, 111, 108, 117, 116,
    105, 111, 110, 0, 4, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0, 12, 0, 0, 0, 16, 0, 0, 0,
    2, 247, 255, 255, 0, 0, 0, 1, 16, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 9, 112, 0, 0, 0,
    236, 246, 255, 255, 8, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255, 255,
    1, 0, 0, 0, 117, 215, 172, 58, 68, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 100, 101, 112, 116,
    104, 119, 105, 115, 101, 95, 99, 111, 110, 118, 50, 100, 95, 49, 47, 82, 101, 108, 117, 59, 109, 111, 100, 101,
    108, 95, 49, 47, 100, 101, 112, 116, 104, 119, 105, 115, 101, 95, 99, 111, 110, 118, 50, 100, 95, 49, 47, 100,
    101, 112, 116, 104, 119, 105, 115, 101, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 12, 0, 0, 0,
    12, 0, 0, 0, 8, 0, 0, 0, 154, 247, 255, 255, 0, 0, 0, 1, 16, 0, 0, 0, 44, 0, 0, 0,
    0, 0, 0, 9, 92, 0, 0, 0, 132, 247, 255, 255, 8, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0,
    128, 255, 255, 255, 255, 255, 255, 255, 1, 0, 0, 0, 215, 215, 163, 59, 50, 0, 0, 0, 109, 111, 100, 101,
    108, 95, 49, 47, 99, 111, 110, 118, 50, 100, 95, 49, 47, 82, 101, 108, 117, 59, 109, 111, 100, 101, 108, 95,
    49, 47, 99, 111, 110, 118, 50, 100, 95, 49, 47, 99, 111, 110, 118, 111, 108, 117, 116, 105, 111, 110, 0, 0,
    4, 0, 0, 0, 1, 0, 0, 0, 14, 0, 0, 0, 14, 0, 0, 0, 8, 0, 0, 0, 94, 249, 255, 255,
    0, 0, 0, 1, 20, 0, 0, 0, 132, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 9, 156, 0, 0, 0,
    12, 248, 255, 255, 8, 0, 0, 0, 72, 0, 0, 0, 8, 0, 0, 0, 8, 0, 0, 0, 50, 115, 251, 58,
    161, 42, 240, 58, 203, 245, 241, 58, 111, 74, 245, 58, 94, 153, 220, 58, 129, 246, 248, 58, 185, 30, 235, 58,
    141, 85, 247, 58, 28, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 99, 111, 110, 118, 50, 100, 95, 49,
    47, 99, 111, 110, 118, 111, 108, 117, 116, 105, 111, 110, 0, 0, 0, 0, 4, 0, 0, 0, 8, 0, 0, 0,
    3, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 38, 250, 255, 255, 0, 0, 0, 1, 20, 0, 0, 0,
    228, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 2, 236, 0, 0, 0, 212, 248, 255, 255, 8, 0, 0, 0,
    136, 0, 0, 0, 16, 0, 0, 0, 16, 0, 0, 0, 15, 0, 0, 0, 97, 114, 105, 116, 104, 46, 99, 111,
    110, 115, 116, 97, 110, 116, 49, 0, 1, 0, 0, 0, 16, 0, 0, 0, 50, 251, 255, 255, 0, 0, 0, 1,
    24, 0, 0, 0, 24, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 2, 76, 0, 0, 0, 4, 0, 4, 0,
    4, 0, 0, 0, 57, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 103, 108, 111, 98, 97, 108, 95, 97,
    118, 101, 114, 97, 103, 101, 95, 112, 111, 111, 108, 105, 110, 103, 50, 100, 95, 49, 47, 77, 101, 97, 110, 47,
    114, 101, 100, 117, 99, 116, 105, 111, 110, 95, 105, 110, 100, 105, 99, 101, 115, 0, 0, 0, 1, 0, 0, 0,
    2, 0, 0, 0, 158, 251, 255, 255, 0, 0, 0, 1, 20, 0, 0, 0, 136, 0, 0, 0, 5, 0, 0, 0,
    0, 0, 0, 2, 144, 0, 0, 0, 76, 250, 255, 255, 8, 0, 0, 0, 76, 0, 0, 0, 8, 0, 0, 0,
    0, 0, 0, 0, 8, 0, 0, 0, 131, 200, 50, 55, 74, 196, 51, 55, 6, 195, 26, 55, 183, 150, 34, 55,
    25, 230, 18, 55, 229, 57, 44, 55, 70, 185, 249, 54, 53, 173, 47, 55, 14, 0, 0, 0, 97, 114, 105, 116,
    104, 46, 99, 111, 110, 115, 116, 97, 110, 116, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 78, 252, 255, 255,
    0, 0, 0, 1, 20, 0, 0, 0, 164, 1, 0, 0, 4, 0, 0, 0, 0, 0, 0, 9, 180, 1, 0, 0,
    252, 250, 255, 255, 8, 0, 0, 0, 8, 1, 0, 0, 32, 0, 0, 0, 32, 0, 0, 0, 22, 0, 0, 0,
    109, 111, 100, 101, 108, 95, 49, 47, 100, 101, 110, 115, 101, 95, 49, 47, 77, 97, 116, 77, 117, 108, 0, 0,
    2, 0, 0, 0, 32, 0, 0, 0, 16, 0, 0, 0, 38, 254, 255, 255, 0, 0, 0, 1, 20, 0, 0, 0,
    160, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 9, 180, 0, 0, 0, 212, 252, 255, 255, 8, 0, 0, 0,
    92, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0, 213, 23, 61, 59, 124, 190, 65, 59,
    43, 179, 64, 59, 11, 83, 64, 59, 17, 191, 65, 59, 66, 84, 63, 59, 120, 123, 66, 59, 255, 0, 63, 59,
    41, 25, 60, 59, 27, 214, 65, 59, 24, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 100, 101, 110, 115,
    101, 95, 49, 95, 50, 47, 77, 97, 116, 77, 117, 108, 0, 0, 0, 0, 2, 0, 0, 0, 10, 0, 0, 0,
    32, 0, 0, 0, 0, 0, 22, 0, 30, 0, 24, 0, 23, 0, 16, 0, 12, 0, 8, 0, 0, 0, 0, 0,
    0, 0, 7, 0, 22, 0, 0, 0, 0, 0, 0, 1, 40, 0, 0, 0, 156, 0, 0, 0, 2, 0, 0, 0,
    0, 0, 0, 9, 188, 0, 0, 0, 0, 0, 18, 0, 16, 0, 0, 0, 0, 0, 12, 0, 8, 0, 0, 0,
    0, 0, 4, 0, 18, 0, 0, 0, 3, 0, 0, 0, 8, 0, 0, 0, 72, 0, 0, 0, 8, 0, 0, 0,
    8, 0, 0, 0, 248, 171, 11, 59, 170, 112, 12, 59, 139, 207, 241, 58, 65, 10, 254, 58, 104, 134, 229, 58,
    147, 140, 6, 59, 203, 23, 195, 58, 166, 62, 9, 59, 36, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47,
    100, 101, 112, 116, 104, 119, 105, 115, 101, 95, 99, 111, 110, 118, 50, 100, 95, 49, 47, 100, 101, 112, 116, 104,
    119, 105, 115, 101, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0,
    8, 0, 0, 0, 0, 0, 22, 0, 28, 0, 24, 0, 23, 0, 16, 0, 12, 0, 8, 0, 0, 0, 0, 0,
    0, 0, 7, 0, 22, 0, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 228, 0, 0, 0, 1, 0, 0, 0,
    0, 0, 0, 9, 252, 0, 0, 0, 196, 254, 255, 255, 8, 0, 0, 0, 136, 0, 0, 0, 16, 0, 0, 0,
    16, 0, 0, 0, 30, 0, 0, 0, 109, 111, 100, 101, 108, 95, 49, 47, 99, 111, 110, 118, 50, 100, 95, 49,
    95, 50, 47, 99, 111, 110, 118, 111, 108, 117, 116, 105, 111, 110, 0, 0, 4, 0, 0, 0, 16, 0, 0, 0,
    1, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 22, 0, 24, 0, 20, 0, 19, 0, 0, 0,
    12, 0, 8, 0, 0, 0, 0, 0, 0, 0, 7, 0, 22, 0, 0, 0, 0, 0, 0, 1, 28, 0, 0, 0,
    56, 0, 0, 0, 0, 0, 0, 9, 76, 0, 0, 0, 12, 0, 12, 0, 0, 0, 0, 0, 8, 0, 4, 0,
    12, 0, 0, 0, 8, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 128, 255, 255, 255, 255, 255, 255, 255,
    1, 0, 0, 0, 101, 128, 128, 59, 23, 0, 0, 0, 115, 101, 114, 118, 105, 110, 103, 95, 100, 101, 102, 97,
    117, 108, 116, 95, 105, 109, 97, 103, 101, 58, 48, 0, 4, 0, 0, 0, 1, 0, 0, 0, 16, 0, 0, 0,
    16, 0, 0, 0, 3, 0, 0, 0, 6, 0, 0, 0, 96, 0, 0, 0, 68, 0, 0, 0, 52, 0, 0, 0,
    36, 0, 0, 0, 20, 0, 0, 0, 4, 0, 0, 0, 196, 255, 255, 255, 25, 0, 0, 0, 0, 0, 0, 25,
    208, 255, 255, 255, 9, 0, 0, 0, 0, 0, 0, 9, 220, 255, 255, 255, 40, 0, 0, 0, 0, 0, 0, 40,
    232, 255, 255, 255, 17, 0, 0, 0, 0, 0, 0, 17, 244, 255, 255, 255, 4, 0, 0, 0, 0, 0, 0, 4,
    12, 0, 12, 0, 11, 0, 0, 0, 0, 0, 4, 0, 12, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 3,
    0,
};
/* PRIMER END */

static const uint16_t knots[66] = {
    22, 28, 36, 47, 60, 77, 98, 126, 162, 208, 267, 342, 439, 562, 720, 922,
    1179, 1506, 1921, 2446, 3108, 3938, 4971, 6249, 7812, 9702, 11955, 14595, 17625, 21025, 24743, 28693,
    32768, 36843, 40793, 44511, 47911, 50941, 53581, 55834, 57724, 59287, 60565, 61598, 62428, 63090, 63615, 64030,
    64357, 64614, 64816, 64974, 65097, 65194, 65269, 65328, 65374, 65410, 65438, 65459, 65476, 65489, 65500, 65508,
    65514,
};

/* --- reading -------------------------------------------------------------------------------------------------- */

typedef struct {
    tfcz_read read;
    void *source;
    uint32_t left; /* bytes of the coded part that were not read yet */
} input;

static uint32_t next_byte(input *in) {
    int byte;
    if (in->left == 0) return 0;
    in->left--;
    byte = in->read(in->source);
    return byte < 0 ? 0u : (uint32_t)byte & 255u;
}

static int header_varint(tfcz_read read, void *source, uint32_t limit, uint32_t *value) {
    uint64_t found = 0;
    int shift, byte;
    for (shift = 0; shift < 35; shift += 7) {
        byte = read(source);
        if (byte < 0) return 0;
        found |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    if (shift >= 35 || found > limit) return 0;
    *value = (uint32_t)found;
    return 1;
}

tfcz_status tfcz_read_header(tfcz_read read, void *source, tfcz_header *header) {
    static const uint8_t magic[3] = {'T', 'F', 'Z'};
    int i, byte;
    uint32_t checksum = 0;
    for (i = 0; i < 3; i++)
        if (read(source) != magic[i]) return TFCZ_NOT_A_TFCZ;
    byte = read(source);
    if (byte < 1 || byte > QUICK) return TFCZ_NOT_A_TFCZ;
    header->version = (uint32_t)byte;
    for (i = 0; i < 4; i++) {
        byte = read(source);
        if (byte < 0) return TFCZ_DAMAGED;
        checksum |= (uint32_t)(byte & 255) << (8 * i);
    }
    byte = read(source);
    if (header->version == QUICK ? byte != 0 : byte < 12 || byte > 20) return TFCZ_DAMAGED;
    header->checksum = checksum;
    header->table_bits = (uint32_t)byte;
    if (!header_varint(read, source, 0x7FFFFFFF, &header->size) ||
        !header_varint(read, source, MAX_DIRECTORY, &header->directory) ||
        !header_varint(read, source, 0x7FFFFFFF, &header->rest) ||
        !header_varint(read, source, MAX_LANES, &header->lanes) ||
        !header_varint(read, source, MAX_PERIOD, &header->period) ||
        !header_varint(read, source, 0x7FFFFFFF, &header->coded))
        return TFCZ_DAMAGED;
    if (header->rest > header->size) return TFCZ_DAMAGED;
    if (header->directory > header->size - header->rest + SPARE) return TFCZ_DAMAGED;
    return TFCZ_OK;
}

/* --- the byte model ------------------------------------------------------------------------------------------- */

typedef struct {
    input *in; /* NULL while learning the primer */
    uint32_t low, high, value;
    uint8_t known; /* the byte that is learned */
    uint32_t table_bits;
    uint16_t *slots;
    uint32_t *seen_at;
    uint8_t *history;
    uint32_t end; /* of the history */
    uint32_t length, pointer; /* of the match */
    int64_t weights[12][8];
    uint16_t match_slots[16];
    uint16_t hits[32 + 4096];
    uint8_t hits_seen[32 + 4096];
    uint16_t squashed[4096];
    int16_t stretched[4096];
} byte_model;

static int64_t shifted(int64_t value, int by) { /* an arithmetic shift, whatever the compiler's is */
    return value >= 0 ? value >> by : -((-value + ((int64_t)1 << by) - 1) >> by);
}

static uint32_t rate(uint32_t seen) { return 131072u / (2u * seen + 3u); }

static uint32_t scrambled(uint32_t value, uint32_t salt) {
    value = (value ^ salt << 29) * 0x9E3779B1u;
    value ^= value >> 15;
    value *= 0x85EBCA6Bu;
    return value ^ value >> 13;
}

static void start_model(byte_model *m) {
    int x, p, i;
    for (x = 0; x < 4096; x++) {
        int index = x >> 6, part = x & 63;
        m->squashed[x] = (uint16_t)((knots[index] * (64 - part) + knots[index + 1] * part + 32) >> 6);
    }
    for (p = 0, x = -2047; p < 4096; p++) {
        while (x < 2047 && m->squashed[x + 2048] < (p << 4 | 8)) x++;
        m->stretched[p] = (int16_t)x;
    }
    for (i = 0; i < 1 << m->table_bits; i++) m->slots[i] = 0x8000;
    memset(m->seen_at, 0, sizeof(uint32_t) << (m->table_bits - 2));
    memset(m->history, 0, ZEROS);
    m->end = ZEROS;
    m->length = m->pointer = 0;
    for (i = 0; i < 12; i++)
        for (x = 0; x < 8; x++) m->weights[i][x] = x < CONTEXTS ? 19661 : x == CONTEXTS ? 16384 : 0;
    for (i = 0; i < 16; i++) m->match_slots[i] = 0x8000;
    for (i = 0; i < 32 + 4096; i++) m->hits[i] = 60000;
    memset(m->hits_seen, 0, sizeof m->hits_seen);
    m->low = 0;
    m->high = 0xFFFFFFFFu;
}

static int decision(byte_model *m, uint32_t probability, int known) {
    uint32_t range = m->high - m->low, middle;
    int bit;
    if (m->in == NULL) return known;
    middle = m->low + (range >> 16) * probability + ((range & 0xFFFFu) * probability >> 16);
    bit = m->value <= middle;
    if (bit)
        m->high = middle;
    else
        m->low = middle + 1;
    while ((m->low ^ m->high) < 0x1000000u) {
        m->low <<= 8;
        m->high = m->high << 8 | 0xFF;
        m->value = m->value << 8 | next_byte(m->in);
    }
    return bit;
}

static uint16_t updated(uint16_t slot, int bit) {
    uint32_t p = (slot & 0xFFF0u) | 8u, seen = slot & 15u;
    if (bit)
        p += (65535u - p) * rate(seen) >> 16;
    else
        p -= p * rate(seen) >> 16;
    return (uint16_t)((p & 0xFFF0u) | (seen < 15 ? seen + 1 : 15));
}

static int agreement(byte_model *m, uint32_t phase) {
    uint32_t foretold = m->history[m->pointer], length = m->length, bucket, at[2], i;
    int x, hit;
    if (length < 64)
        bucket = (uint32_t)(length >= 16) + (length >= 24) + (length >= 32) + (length >= 48);
    else
        bucket = 5u + (length >= 128) + (length >= 400);
    at[0] = bucket << 2 | phase;
    at[1] = 32 + (scrambled(foretold | (uint32_t)m->history[m->end - 1] << 8, phase) & 4095u);
    x = (int)shifted((m->stretched[m->hits[at[0]] >> 4] + m->stretched[m->hits[at[1]] >> 4]) * 5, 3);
    x = x < -2047 ? -2047 : x > 2047 ? 2047 : x;
    hit = decision(m, m->squashed[x + 2048], m->known == foretold);
    for (i = 0; i < 2; i++) {
        uint32_t p = m->hits[at[i]], seen = m->hits_seen[at[i]];
        p = hit ? p + ((65535u - p) * rate(seen) >> 16) : p - (p * rate(seen) >> 16);
        m->hits[at[i]] = (uint16_t)p;
        if (seen < 60) m->hits_seen[at[i]]++;
    }
    return hit ? (int)foretold : -1;
}

static int mixed_byte(byte_model *m, uint32_t phase) {
    const uint8_t *h = m->history + m->end;
    uint32_t mask = (1u << m->table_bits) - 1, length = m->length < 15 ? m->length : 15, node = 1, i;
    uint32_t foretold = m->length ? (uint32_t)m->history[m->pointer] | 256u : 0;
    uint32_t row = (length == 0 ? 0u : length < 9 ? 4u : 8u) + phase;
    uint32_t context[CONTEXTS];
    int place;
    context[0] = scrambled(phase, 1);
    context[1] = scrambled((uint32_t)h[-1] << 2 | phase, 2);
    context[2] = scrambled((uint32_t)h[-4] << 2 | phase, 3);
    context[3] = scrambled(h[-1] | (uint32_t)h[-2] << 8 | (uint32_t)h[-3] << 16, 4);
    context[4] = scrambled((h[-12] | (uint32_t)h[-16] << 8) << 2 | phase, 5);
    context[5] = scrambled((h[-8] | (uint32_t)h[-4] << 8 | (uint32_t)h[-1] << 16) << 2 | phase, 6);
    for (place = 7; place >= 0; place--) {
        int follows = foretold >> (place + 1) == node, expected = (int)(foretold >> place & 1u), bit;
        int64_t *w = m->weights[follows ? row : phase], dot = 0, error;
        int input_of[8], x;
        uint32_t at[CONTEXTS], p;
        for (i = 0; i < CONTEXTS; i++) {
            at[i] = (context[i] + node * 0x9E3779B1u) & mask;
            input_of[i] = m->stretched[m->slots[at[i]] >> 4];
        }
        input_of[6] = 0;
        if (follows) {
            x = m->stretched[m->match_slots[length] >> 4];
            input_of[6] = expected ? x : -x;
        }
        input_of[7] = 256;
        for (i = 0; i < 8; i++) dot += input_of[i] * w[i];
        dot = shifted(dot, 16);
        x = dot < -2047 ? 1 : dot > 2047 ? 4095 : (int)dot + 2048;
        p = m->squashed[x];
        bit = decision(m, p, m->known >> place & 1);
        error = shifted((int64_t)bit * 65535 - (int64_t)p, 4) * 6;
        for (i = 0; i < 8; i++) w[i] += shifted(input_of[i] * error + 8192, 14);
        for (i = 0; i < CONTEXTS; i++) m->slots[at[i]] = updated(m->slots[at[i]], bit);
        if (follows) m->match_slots[length] = updated(m->match_slots[length], bit == expected);
        node = node << 1 | (uint32_t)bit;
    }
    return (int)(node & 255u);
}

static void follow(byte_model *m, int byte) {
    uint8_t *h = m->history;
    uint32_t low, high, place;
    if (m->length && h[m->pointer] == byte) {
        if (m->length < LONGEST) m->length++;
        m->pointer++;
    } else {
        m->length = 0;
    }
    h[m->end++] = (uint8_t)byte;
    low = h[m->end - 6] | (uint32_t)h[m->end - 5] << 8 | (uint32_t)h[m->end - 4] << 16 | (uint32_t)h[m->end - 3] << 24;
    high = h[m->end - 2] | (uint32_t)h[m->end - 1] << 8;
    place = scrambled(low ^ high * 0x2C1B3C6Du, 7) >> (34 - m->table_bits);
    if (m->length == 0) {
        uint32_t candidate = m->pointer = m->seen_at[place];
        while (m->length < LOOK_BACK && m->length < candidate &&
               h[candidate - 1 - m->length] == h[m->end - 1 - m->length])
            m->length++;
        if (m->length < SHORTEST) m->length = 0;
    }
    m->seen_at[place] = m->end;
}

static uint8_t model_byte(byte_model *m, uint32_t phase) {
    int byte = m->length >= SURE ? agreement(m, phase) : -1;
    if (byte < 0) byte = mixed_byte(m, phase);
    follow(m, byte);
    return (uint8_t)byte;
}

static uint16_t once(uint16_t slot) { return (uint16_t)((slot & 0xFFF0u) | ((slot & 15u) != 0)); }

static void learn_primer(byte_model *m) {
    uint32_t i;
    for (i = 0; i + 1 < sizeof primer; i++) { /* its last byte is only there so that it is never empty */
        m->known = primer[i];
        model_byte(m, i & 3u);
    }
    /* What was learned is held to have been seen once, so that the file itself soon counts for more. */
    for (i = 0; i < 1u << m->table_bits; i++) m->slots[i] = once(m->slots[i]);
    for (i = 0; i < 16; i++) m->match_slots[i] = once(m->match_slots[i]);
    for (i = 0; i < 32 + 4096; i++) m->hits_seen[i] = m->hits_seen[i] != 0;
}

/* --- LZMA: directory and rest of large files, with lc = 0, lp = 2, pb = 2 -------------------------------------- */

typedef struct {
    uint16_t choice[2], low[POSITIONS][8], middle[POSITIONS][8], high[256];
} lzma_lengths;

typedef struct {
    uint16_t match[12][POSITIONS], repeat[12], repeat_at[3][12], short_repeat[12][POSITIONS];
    uint16_t slot[4][64], special[SPECIAL], align[16], literal[POSITIONS][LITERALS];
    lzma_lengths lengths, repeat_lengths;
} lzma_odds; /* of zeros, in 2048ths */

typedef struct {
    input *in;
    uint32_t range, code;
    uint8_t *out;
    uint32_t at, end; /* of out */
    uint32_t state, distances[4];
    lzma_odds odds;
} lzma;

static void lzma_next(lzma *z) {
    if (z->range >= 1u << 24) return;
    z->range <<= 8;
    z->code = z->code << 8 | next_byte(z->in);
}

static uint32_t lzma_bit(lzma *z, uint16_t *odds) {
    uint32_t bound = (z->range >> 11) * *odds, bit = z->code >= bound;
    if (bit) {
        z->code -= bound;
        z->range -= bound;
        *odds = (uint16_t)(*odds - (*odds >> 5));
    } else {
        z->range = bound;
        *odds = (uint16_t)(*odds + ((2048 - *odds) >> 5));
    }
    lzma_next(z);
    return bit;
}

static uint32_t lzma_tree(lzma *z, uint16_t *odds, uint32_t bits) {
    uint32_t node = 1, i;
    for (i = 0; i < bits; i++) node = node << 1 | lzma_bit(z, &odds[node]);
    return node - (1u << bits);
}

static uint32_t lzma_reverse_tree(lzma *z, uint16_t *odds, uint32_t bits) {
    uint32_t node = 1, value = 0, bit, i;
    for (i = 0; i < bits; i++) {
        bit = lzma_bit(z, &odds[node]);
        node = node << 1 | bit;
        value |= bit << i;
    }
    return value;
}

static uint32_t lzma_length(lzma *z, lzma_lengths *l) {
    uint32_t position = z->at % POSITIONS;
    if (!lzma_bit(z, &l->choice[0])) return lzma_tree(z, l->low[position], 3);
    if (!lzma_bit(z, &l->choice[1])) return 8 + lzma_tree(z, l->middle[position], 3);
    return 16 + lzma_tree(z, l->high, 8);
}

static uint32_t lzma_distance(lzma *z, uint32_t length) {
    uint32_t slot = lzma_tree(z, z->odds.slot[length < 3 ? length : 3], 6), bits, distance, straight = 0, i;
    if (slot < 4) return slot;
    bits = (slot >> 1) - 1;
    distance = (2u | (slot & 1u)) << bits;
    if (slot < 14) return distance + lzma_reverse_tree(z, z->odds.special + distance - slot, bits);
    for (i = 0; i < bits - 4; i++) {
        uint32_t bit;
        z->range >>= 1;
        bit = z->code >= z->range;
        if (bit) z->code -= z->range;
        straight = straight << 1 | bit;
        lzma_next(z);
    }
    return distance + (straight << 4) + lzma_reverse_tree(z, z->odds.align, 4);
}

static void lzma_literal(lzma *z) {
    uint16_t *odds = z->odds.literal[z->at % POSITIONS];
    uint32_t symbol = 1, foretold = z->state < 7 ? 0 : z->out[z->at - z->distances[0] - 1], follows = z->state >= 7;
    while (symbol < 256) {
        uint32_t expected = foretold >> 7 & 1u, bit;
        foretold <<= 1;
        bit = lzma_bit(z, &odds[follows ? ((1 + expected) << 8) + symbol : symbol]);
        follows = follows && bit == expected;
        symbol = symbol << 1 | bit;
    }
    z->out[z->at++] = (uint8_t)(symbol & 255u);
    z->state = z->state < 4 ? 0 : z->state < 10 ? z->state - 3 : z->state - 6;
}

/* A distance that was used before goes to the front; the number of bytes less 2, or -1 for a single byte. */
static int lzma_repeat(lzma *z) {
    uint32_t which = 0, distance, i;
    if (!lzma_bit(z, &z->odds.repeat_at[0][z->state])) {
        if (!lzma_bit(z, &z->odds.short_repeat[z->state][z->at % POSITIONS])) return -1;
    } else {
        which = 1;
        if (lzma_bit(z, &z->odds.repeat_at[1][z->state])) which = 2 + lzma_bit(z, &z->odds.repeat_at[2][z->state]);
    }
    distance = z->distances[which];
    for (i = which; i > 0; i--) z->distances[i] = z->distances[i - 1];
    z->distances[0] = distance;
    return (int)lzma_length(z, &z->odds.repeat_lengths);
}

static int lzma_match(lzma *z) { /* 0 when it is damaged */
    int length;
    if (lzma_bit(z, &z->odds.repeat[z->state])) {
        length = lzma_repeat(z);
        z->state = length < 0 ? (z->state < 7 ? 9 : 11) : z->state < 7 ? 8 : 11;
    } else {
        memmove(z->distances + 1, z->distances, 3 * sizeof *z->distances);
        length = (int)lzma_length(z, &z->odds.lengths);
        z->distances[0] = lzma_distance(z, (uint32_t)length);
        z->state = z->state < 7 ? 7 : 10;
    }
    if (z->distances[0] >= z->at || z->distances[0] >= DICTIONARY) return 0;
    for (length += 2; length > 0 && z->at < z->end; length--, z->at++)
        z->out[z->at] = z->out[z->at - z->distances[0] - 1];
    return 1;
}

static int lzma_decode(lzma *z, input *in, uint8_t *out, uint32_t count) {
    uint16_t *odds = (uint16_t *)&z->odds;
    size_t i;
    for (i = 0; i < sizeof z->odds / sizeof *odds; i++) odds[i] = 1024;
    z->in = in;
    z->out = out;
    z->end = count;
    z->at = z->state = z->code = 0;
    memset(z->distances, 0, sizeof z->distances);
    z->range = 0xFFFFFFFFu;
    if (next_byte(in) != 0) return 0;
    for (i = 0; i < 4; i++) z->code = z->code << 8 | next_byte(in);
    while (z->at < z->end) {
        if (!lzma_bit(z, &z->odds.match[z->state][z->at % POSITIONS]))
            lzma_literal(z);
        else if (!lzma_match(z))
            return 0;
    }
    return 1;
}

/* --- the directory -------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t offset, count, group, columns, at; /* at: of its source and factor in the directory */
} segment;

typedef struct {
    const uint8_t *data;
    uint32_t position, end;
    int bad;
} reader;

static uint32_t take(reader *r) {
    if (r->position >= r->end) {
        r->bad = 1;
        return 0;
    }
    return r->data[r->position++];
}

static uint32_t varint(reader *r, uint32_t limit) {
    uint64_t value = 0;
    uint32_t byte = 128;
    int shift;
    for (shift = 0; shift < 35 && byte > 127; shift += 7) {
        byte = take(r);
        value |= (uint64_t)(byte & 127u) << shift;
    }
    if (byte > 127 || value > limit) r->bad = 1;
    return r->bad ? 0 : (uint32_t)value;
}

typedef struct {
    uint32_t kind, centre, decay, mean, period;
    int32_t taps[TAPS];
    uint8_t present[256];
} plane;

static void read_plane(reader *r, plane *p, uint32_t steps, int first) {
    uint32_t head = take(r), i, lowest, highest, values = 0, number;
    p->centre = take(r);
    p->period = 0;
    p->decay = 4;
    p->mean = 0;
    memset(p->present, 1, 256);
    p->kind = head;
    if (head == CONSTANT) return;
    number = head & 15u;
    p->kind = number;
    if (number > PREDICTED || head >> 4 > 2 || (first && number == PLANE)) r->bad = 1;
    if (number == UNIFORM) return;
    p->decay = take(r);
    p->mean = take(r) << 9;
    if (p->decay < 1 || p->decay > 8) r->bad = 1;
    if (number == COLUMN) {
        p->period = varint(r, MAX_PERIOD);
        if (p->period == 0 || steps % p->period) r->bad = 1;
    }
    if (number == PREDICTED)
        for (i = 0; i < TAPS; i++) p->taps[i] = (int32_t)((take(r) + 128u) & 255u) - 128;
    if (head >> 4 == 1) {
        lowest = take(r);
        highest = take(r);
        for (i = 0; i < 256; i++) p->present[i] = i >= lowest && i <= highest;
    } else if (head >> 4 == 2) {
        uint32_t byte = 0;
        for (i = 0; i < 256; i++) {
            if (i % 8 == 0) byte = take(r);
            p->present[i] = byte >> (i % 8) & 1u;
        }
    }
    for (i = 0; i < 256; i++) values += p->present[i];
    if (values < 2) r->bad = 1;
}

typedef struct {
    uint32_t width, transform, filled, steps, at; /* at: of its filling or its first plane in the directory */
} group;

static void read_group(reader *r, group *g) {
    plane p;
    uint32_t head = take(r), i;
    g->width = 1u << (head & 3u);
    g->transform = head >> 2 & 3u;
    g->filled = head >> 4 & 1u;
    g->steps = 1;
    if (head >= 32 || g->transform > 2 || (g->transform == 2 && g->width != 4) || (g->filled && g->transform))
        r->bad = 1;
    if (!g->filled) g->steps = varint(r, 0x7FFFFFFF);
    if (g->steps == 0) r->bad = 1;
    g->at = r->position;
    if (r->bad) return;
    for (i = 0; i < g->width; i++) {
        if (g->filled)
            take(r);
        else
            read_plane(r, &p, g->steps, i == 0);
    }
}

/* --- arrays --------------------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t state, mean, segment, index; /* where its next value goes: element `index` of that segment */
    int32_t before[TAPS]; /* the last values, the latest first, around the centre */
} lane;

typedef struct {
    uint16_t starts[MAX_CONTEXTS][257];
    uint32_t classes[MAX_CONTEXTS][CLASSES];
    uint32_t seen[256];
    uint8_t class_of[256], size[256];
    const plane *plan;
    uint32_t contexts, bits;
} array_model;

static uint32_t log_step(uint32_t value) { /* two steps an octave: 0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, ... */
    uint32_t length = 0, rest = value;
    if (value < 2) return value;
    for (; rest; rest >>= 1) length++;
    return 2 * length - 2 + (value >> (length - 2) & 1u);
}

static uint32_t level_of(uint32_t mean) {
    uint32_t step = log_step(mean >> 4);
    return step < LEVELS - 1 ? step : LEVELS - 1;
}

static void start_array(array_model *m, const plane *p, uint32_t count) {
    static const uint8_t contexts[] = {1, LEVELS, 52, 64, 16, 1, LEVELS};
    uint32_t i;
    m->plan = p;
    m->contexts = contexts[p->kind];
    m->bits = count < 8192 ? 12 : 14;
    memset(m->classes, 0, sizeof m->classes);
    memset(m->seen, 0, sizeof m->seen);
    for (i = 0; i < 256; i++) {
        uint32_t away = (i - p->centre) & 255u, size = away < 128 ? away : 256 - away, step = log_step(size);
        if (step > 13) step = 13;
        if (size >= 127) step = 14;
        m->size[i] = (uint8_t)size;
        m->class_of[i] = (uint8_t)(size == 0 ? 0 : away < 128 ? step : step + 14);
    }
}

static void make_context(array_model *m, uint32_t context, const uint64_t *of_class, uint64_t all, uint32_t room) {
    uint64_t share[CLASSES], sum = 0, part;
    uint32_t i, largest = 0, total = 0, f[256];
    for (i = 0; i < CLASSES; i++) {
        share[i] = ((uint64_t)m->classes[context][i] << 8) + of_class[i] * (PRIOR << 8) / all;
        sum += share[i];
    }
    for (i = 0; i < CLASSES; i++) share[i] = (share[i] << 16) / sum;
    for (i = 0; i < 256; i++) {
        uint32_t c = m->class_of[i];
        f[i] = 0;
        if (m->plan->present[i]) {
            part = ((uint64_t)(m->seen[i] + 1) << 16) / of_class[c];
            f[i] = (uint32_t)((share[c] * part >> 16) * room >> 16) + 1;
        }
        if (f[i] > f[largest]) largest = i;
        total += f[i];
    }
    f[largest] += (1u << m->bits) - total;
    for (i = 0, total = 0; i < 256; i++) {
        m->starts[context][i] = (uint16_t)total;
        total += f[i];
    }
    m->starts[context][256] = (uint16_t)total;
}

static void make_tables(array_model *m) {
    uint64_t of_class[CLASSES] = {0}, all = 0;
    uint32_t i, room = 1u << m->bits;
    if (m->plan->kind == UNIFORM) {
        for (i = 0; i <= 256; i++) m->starts[0][i] = (uint16_t)(i << (m->bits - 8));
        return;
    }
    for (i = 0; i < 256; i++) {
        if (!m->plan->present[i]) continue;
        of_class[m->class_of[i]] += (uint64_t)m->seen[i] + 1;
        all += (uint64_t)m->seen[i] + 1;
        room--;
    }
    for (i = 0; i < m->contexts; i++) make_context(m, i, of_class, all, room);
}

typedef struct {
    tfcz_read read;
    void *source;
    uint8_t *output;
    const group *groups;
    const segment *segments;
    uint32_t group_count, segment_count;
    lane *lanes;
    uint64_t *sums;
    array_model *model;
    int seldom; /* the tables are made anew when as much again has been seen, not half as much */
    int bad;
} arrays;

static uint32_t word(arrays *a) {
    int low = a->read(a->source), high = low < 0 ? -1 : a->read(a->source);
    if (high < 0) {
        a->bad = 1;
        return 0;
    }
    return (uint32_t)(low & 255) | (uint32_t)(high & 255) << 8;
}

static uint32_t next_segment(const arrays *a, uint32_t after, uint32_t number) {
    while (after < a->segment_count && a->segments[after].group != number) after++;
    return after;
}

static uint32_t element(const segment *s, uint32_t index) { /* where the index-th coded element lies */
    uint32_t rows;
    if (s->columns == 0) return index;
    rows = s->count / s->columns;
    return index % rows * s->columns + index / rows;
}

static uint32_t signed_class(int32_t value) {
    uint32_t size = (uint32_t)(value < 0 ? -value : value), length = 0;
    for (; size && length < 6; size >>= 1) length++;
    return value < 0 ? length + 6 : length;
}

static uint32_t context_of(const arrays *a, const lane *l, uint32_t column_level, const uint8_t *place) {
    switch (a->model->plan->kind) {
        case MEAN:
        case PREDICTED: return level_of(l->mean);
        case SIGNED:
            return (level_of(l->mean) >> 3) * 13 + signed_class((int32_t)shifted(3 * l->before[0] + l->before[1], 2));
        case COLUMN: return (level_of(l->mean) >> 2) * 8 + column_level;
        case PLANE: return place[1] & 15u;
        default: return 0;
    }
}

static uint32_t predicted(const plane *p, const lane *l) { /* how far from the centre, modulo 256 */
    int32_t sum = 32;
    int i;
    for (i = 0; i < TAPS; i++) sum += p->taps[i] * l->before[i];
    sum = (int32_t)shifted(sum, 6);
    return (uint32_t)(sum < -128 ? -128 : sum > 127 ? 127 : sum);
}

static uint32_t decode_symbol(arrays *a, lane *l, uint32_t context) {
    array_model *m = a->model;
    const uint16_t *starts = m->starts[context];
    uint32_t slot = l->state & ((1u << m->bits) - 1), low = 0, high = 256;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (starts[middle] <= slot)
            low = middle;
        else
            high = middle;
    }
    l->state = (uint32_t)(starts[low + 1] - starts[low]) * (l->state >> m->bits) + slot - starts[low];
    if (l->state < LEAST_STATE) l->state = l->state << 16 | word(a);
    if (m->plan->kind != UNIFORM) {
        m->classes[context][m->class_of[low]]++;
        m->seen[low]++;
    }
    l->mean -= l->mean >> m->plan->decay;
    l->mean += (uint32_t)m->size[low] << (10 - m->plan->decay);
    return low;
}

static void remember(lane *l, uint32_t value, uint32_t centre) {
    int i;
    for (i = TAPS - 1; i > 0; i--) l->before[i] = l->before[i - 1];
    l->before[0] = (int32_t)((value - centre + 128u) & 255u) - 128;
}

static void place_lanes(arrays *a, uint32_t number, uint32_t lanes, uint32_t steps) {
    uint32_t i, at = next_segment(a, 0, number), index = 0;
    for (i = 0; i < lanes; i++) {
        uint32_t go = steps;
        a->lanes[i].segment = at;
        a->lanes[i].index = index;
        while (at < a->segment_count && go >= a->segments[at].count - index) {
            go -= a->segments[at].count - index;
            at = next_segment(a, at + 1, number);
            index = 0;
        }
        index += go;
    }
}

static void decode_plane(arrays *a, const group *g, uint32_t number, uint32_t count, const plane *p, uint32_t place) {
    uint32_t lanes = (count - 1) / g->steps + 1, whole = count - (lanes - 1) * g->steps, step, i;
    uint64_t seen = 0, due = 0;
    start_array(a->model, p, count);
    place_lanes(a, number, lanes, g->steps);
    for (i = 0; i < lanes; i++) {
        a->lanes[i].mean = p->mean;
        memset(a->lanes[i].before, 0, sizeof a->lanes[i].before);
    }
    for (i = 0; i < p->period; i++) a->sums[i] = 0;
    for (step = 0; step < g->steps && !a->bad; step++) {
        uint32_t active = step < whole ? lanes : lanes - 1, column_level = 7;
        uint64_t sum = 0;
        if (seen >= due) {
            uint64_t more = a->seldom ? seen : seen >> 1;
            due = seen + (more < LAST_REBUILD ? more : LAST_REBUILD);
            if (due < FIRST_REBUILD) due = FIRST_REBUILD;
            make_tables(a->model);
        }
        if (p->kind == COLUMN && step >= p->period) {
            uint64_t mean = a->sums[step % p->period] * 1024 / ((uint64_t)lanes * (step / p->period));
            column_level = level_of((uint32_t)(mean < LARGEST_MEAN ? mean : LARGEST_MEAN)) >> 2;
            if (column_level > 6) column_level = 6;
        }
        for (i = 0; i < active; i++) {
            lane *l = &a->lanes[i];
            const segment *s = &a->segments[l->segment];
            uint8_t *target = a->output + s->offset + (size_t)element(s, l->index) * g->width + place;
            uint32_t symbol = decode_symbol(a, l, context_of(a, l, column_level, target));
            uint32_t value = p->kind == PREDICTED ? (symbol + predicted(p, l)) & 255u : symbol;
            remember(l, value, p->centre);
            *target = (uint8_t)value;
            sum += a->model->size[symbol];
            if (++l->index == s->count) {
                l->segment = next_segment(a, l->segment + 1, number);
                l->index = 0;
            }
        }
        if (p->kind == COLUMN) a->sums[step % p->period] += sum;
        seen += active;
    }
}

/* --- transforms ----------------------------------------------------------------------------------------------- */

static uint64_t load(const uint8_t *from, uint32_t width) {
    uint64_t value = 0;
    while (width--) value = value << 8 | from[width];
    return value;
}

static void store(uint8_t *to, uint64_t value, uint32_t width) {
    for (; width; width--, value >>= 8) *to++ = (uint8_t)(value & 255u);
}

static float float_of(const uint8_t *from) {
    uint32_t bits = (uint32_t)load(from, 4);
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void restore(uint8_t *output, const group *g, const segment *s, const uint8_t *directory, uint32_t end) {
    reader r = {NULL, 0, 0, 0};
    uint32_t i, source = 0, bits;
    float factor = 0, product;
    if (g->transform == 2) {
        r.data = directory;
        r.position = s->at;
        r.end = end;
        source = varint(&r, 0x7FFFFFFF);
        factor = float_of(directory + r.position);
    }
    for (i = 0; i < s->count; i++) {
        uint8_t *at = output + s->offset + (size_t)i * g->width;
        uint64_t value = load(at, g->width);
        if (g->transform == 1) {
            value = value >> 1 | (value & 1u) << (8 * g->width - 1);
        } else {
            product = (float)((double)factor * (double)float_of(output + source + (size_t)i * 4));
            memcpy(&bits, &product, 4);
            value = (value + bits) & 0xFFFFFFFFu;
        }
        store(at, value, g->width);
    }
}

/* --- the whole file ------------------------------------------------------------------------------------------- */

static uint32_t crc32_of(const uint8_t *data, uint32_t count) {
    uint32_t table[16], crc = 0xFFFFFFFFu, i, bit;
    for (i = 0; i < 16; i++) {
        table[i] = i;
        for (bit = 0; bit < 4; bit++) table[i] = table[i] & 1u ? table[i] >> 1 ^ 0xEDB88320u : table[i] >> 1;
    }
    for (i = 0; i < count; i++) {
        crc ^= data[i];
        crc = crc >> 4 ^ table[crc & 15u];
        crc = crc >> 4 ^ table[crc & 15u];
    }
    return ~crc;
}

typedef struct {
    uint8_t *next;
    size_t left;
} memory;

static void *reserve(memory *m, uint64_t bytes) {
    uint8_t *found = m->next;
    bytes = (bytes + 7) / 8 * 8;
    if (bytes > m->left) return NULL;
    m->next += bytes;
    m->left -= (size_t)bytes;
    return found;
}

static uint64_t aligned(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

static uint64_t most_groups(const tfcz_header *h) {
    return (uint64_t)h->directory / 2 < MAX_GROUPS ? (uint64_t)h->directory / 2 : MAX_GROUPS;
}

static uint64_t most_segments(const tfcz_header *h) {
    return (uint64_t)h->directory / 3 < MAX_SEGMENTS ? (uint64_t)h->directory / 3 + 1 : MAX_SEGMENTS;
}

size_t tfcz_work_bytes(const tfcz_header *h) {
    uint64_t need;
    if (h->version == QUICK) {
        need = aligned(sizeof(lzma)) + aligned((uint64_t)h->directory + 3 + h->rest);
    } else {
        need = aligned(sizeof(byte_model)) + aligned(2ull << h->table_bits) + aligned(1ull << h->table_bits);
        need += aligned((uint64_t)ZEROS + sizeof primer + h->directory + h->rest);
    }
    need += aligned(most_groups(h) * sizeof(group));
    need += aligned(most_segments(h) * sizeof(segment)) + aligned((uint64_t)h->lanes * sizeof(lane));
    need += aligned((uint64_t)h->period * sizeof(uint64_t)) + aligned(sizeof(array_model));
    return need > SIZE_MAX ? SIZE_MAX : (size_t)need;
}

/* Reads and checks the directory; 0 when anything is wrong. */
static int read_directory(const tfcz_header *h, const uint8_t *directory, group *groups, uint32_t *group_count,
                          segment *segments, uint32_t *count) {
    reader r = {NULL, 0, 0, 0};
    uint32_t i, position = 0, rest = h->size;
    group g;
    r.data = directory;
    r.end = h->directory;
    *group_count = varint(&r, MAX_GROUPS);
    if (*group_count > most_groups(h)) return 0;
    for (i = 0; i < *group_count && !r.bad; i++) read_group(&r, &groups[i]);
    *count = varint(&r, MAX_SEGMENTS);
    if (r.bad || *count > most_segments(h)) return 0;
    for (i = 0; i < *count; i++) {
        segment *s = &segments[i];
        uint64_t offset, source;
        s->group = varint(&r, MAX_GROUPS);
        if (r.bad || s->group >= *group_count) return 0;
        g = groups[s->group];
        offset = (uint64_t)position + varint(&r, h->size);
        s->count = varint(&r, h->size);
        if (r.bad || s->count == 0 || offset + (uint64_t)s->count * g.width > h->size) return 0;
        s->offset = (uint32_t)offset;
        s->columns = g.filled ? 0 : varint(&r, h->size);
        if (r.bad || (s->columns && s->count % s->columns)) return 0;
        s->at = r.position;
        if (g.transform == 2) {
            source = varint(&r, h->size);
            if (r.bad || source + 4 * (uint64_t)s->count > h->size || r.position + 4 > r.end) return 0;
            r.position += 4;
        }
        position = s->offset + s->count * g.width;
        rest -= s->count * g.width;
    }
    return r.position == r.end && rest == h->rest;
}

static tfcz_status decode_group(arrays *a, const tfcz_header *h, const uint8_t *directory, uint32_t number) {
    const group g = a->groups[number];
    plane p;
    reader r = {NULL, 0, 0, 0};
    uint32_t i, k, width, at;
    uint64_t count = 0;
    for (i = 0; i < a->segment_count; i++) count += a->segments[i].group == number ? a->segments[i].count : 0;
    if (count == 0 || (!g.filled && (g.steps > count || (count - 1) / g.steps + 1 > MAX_LANES))) return TFCZ_DAMAGED;
    r.data = directory;
    r.position = g.at;
    r.end = h->directory;
    for (width = 0; width < g.width && !a->bad; width++) {
        uint32_t place = g.filled ? width : g.width - 1 - width;
        p.kind = CONSTANT;
        p.period = 0;
        if (g.filled)
            p.centre = take(&r);
        else
            read_plane(&r, &p, g.steps, width == 0);
        if (p.kind != CONSTANT) {
            if ((count - 1) / g.steps + 1 > h->lanes || p.period > h->period) return TFCZ_DAMAGED;
            if (p.kind == PREDICTED && h->version == 1) return TFCZ_DAMAGED;
            decode_plane(a, &g, number, (uint32_t)count, &p, place);
            continue;
        }
        for (i = 0; i < a->segment_count; i++)
            for (k = 0, at = a->segments[i].offset + place; a->segments[i].group == number && k < a->segments[i].count;
                 k++, at += g.width)
                a->output[at] = (uint8_t)p.centre;
    }
    for (i = 0; i < a->segment_count && g.transform; i++)
        if (a->segments[i].group == number) restore(a->output, &g, &a->segments[i], directory, h->directory);
    return a->bad ? TFCZ_DAMAGED : TFCZ_OK;
}

static tfcz_status decode_arrays(arrays *a, const tfcz_header *h, const uint8_t *directory) {
    tfcz_status status;
    uint32_t i;
    for (i = 0; i < h->lanes; i++) {
        uint32_t low = word(a);
        a->lanes[i].state = low | word(a) << 16;
        if (a->bad || a->lanes[i].state < LEAST_STATE) return TFCZ_DAMAGED;
    }
    for (i = 0; i < a->group_count; i++) {
        status = decode_group(a, h, directory, i);
        if (status != TFCZ_OK) return status;
    }
    for (i = 0; i < h->lanes; i++)
        if (a->lanes[i].state != LEAST_STATE) return TFCZ_DAMAGED;
    return a->read(a->source) < 0 ? TFCZ_OK : TFCZ_DAMAGED;
}

/* Puts the rest where it lies in the file: from the byte model, or from `ready` where that is not NULL. */
static void place_rest(byte_model *m, const uint8_t *ready, const tfcz_header *h, const arrays *a) {
    uint32_t i, at = 0, end;
    for (i = 0; i <= a->segment_count; i++) {
        end = i < a->segment_count ? a->segments[i].offset : h->size;
        for (; at < end; at++) a->output[at] = ready ? *ready++ : model_byte(m, at & 3u);
        if (i < a->segment_count) at += a->segments[i].count * a->groups[a->segments[i].group].width;
    }
}

static byte_model *start_rest(const tfcz_header *h, memory *mem, input *in, const uint8_t **directory) {
    byte_model *m = reserve(mem, sizeof *m);
    uint32_t i;
    m->table_bits = h->table_bits;
    m->slots = reserve(mem, 2ull << h->table_bits);
    m->seen_at = reserve(mem, 1ull << h->table_bits);
    m->history = reserve(mem, (uint64_t)ZEROS + sizeof primer + h->directory + h->rest);
    m->in = NULL;
    m->known = 0;
    start_model(m);
    learn_primer(m);
    m->in = in;
    for (i = 0, m->value = 0; i < 4; i++) m->value = m->value << 8 | next_byte(in);
    *directory = m->history + m->end;
    for (i = 0; i < h->directory; i++) model_byte(m, i & 3u);
    return m;
}

tfcz_status tfcz_unpack(const tfcz_header *h, tfcz_read read, void *source, uint8_t *output, size_t output_bytes,
                        void *work, size_t work_bytes) {
    memory mem;
    input in;
    arrays a;
    byte_model *m = NULL;
    group *groups;
    segment *segments;
    const uint8_t *directory, *ready = NULL;
    tfcz_status status;
    mem.next = work;
    mem.left = work_bytes;
    if (output_bytes < h->size) return TFCZ_OUTPUT_TOO_SMALL;
    if (work_bytes < tfcz_work_bytes(h)) return TFCZ_WORK_TOO_SMALL;
    memset(output, 0, h->size);
    in.read = read;
    in.source = source;
    in.left = h->coded;
    if (h->version == QUICK) {
        lzma *z = reserve(&mem, sizeof *z);
        uint32_t padded = (h->directory + 3) / 4 * 4;
        uint8_t *whole = reserve(&mem, (uint64_t)h->directory + 3 + h->rest);
        if (!lzma_decode(z, &in, whole, padded + h->rest)) return TFCZ_DAMAGED;
        directory = whole;
        ready = whole + padded;
    } else {
        m = start_rest(h, &mem, &in, &directory);
    }
    groups = reserve(&mem, most_groups(h) * sizeof *groups);
    segments = reserve(&mem, most_segments(h) * sizeof *segments);
    a.lanes = reserve(&mem, (uint64_t)h->lanes * sizeof *a.lanes);
    a.sums = reserve(&mem, (uint64_t)h->period * sizeof *a.sums);
    a.model = reserve(&mem, sizeof *a.model);
    a.output = output;
    a.groups = groups;
    a.segments = segments;
    if (!read_directory(h, directory, groups, &a.group_count, segments, &a.segment_count)) return TFCZ_DAMAGED;
    place_rest(m, ready, h, &a);
    while (in.left) next_byte(&in);
    a.read = read;
    a.source = source;
    a.seldom = h->version == QUICK;
    a.bad = 0;
    status = decode_arrays(&a, h, directory);
    if (status != TFCZ_OK) return status;
    return crc32_of(output, h->size) == h->checksum ? TFCZ_OK : TFCZ_DAMAGED;
}
