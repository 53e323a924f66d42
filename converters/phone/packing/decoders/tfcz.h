/* Unpacks .tfcz files (see FORMAT.md): C99, no dependencies, no memory but the caller's. */
#ifndef TFCZ_H
#define TFCZ_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    TFCZ_OK = 0,
    TFCZ_NOT_A_TFCZ = 1,      /* it begins with other bytes, or has another version */
    TFCZ_DAMAGED = 2,         /* a number that cannot be, an early end, or another checksum */
    TFCZ_WORK_TOO_SMALL = 3,  /* see tfcz_work_bytes */
    TFCZ_OUTPUT_TOO_SMALL = 4 /* see tfcz_header.size */
} tfcz_status;

/* Gives the next byte of the .tfcz, or -1 behind its end; reads from flash, a file or the network. */
typedef int (*tfcz_read)(void *source);

typedef struct {
    uint32_t version;    /* 1, 2 with arrays of predictions, or 3 with LZMA */
    uint32_t size;       /* of the unpacked file */
    uint32_t checksum;   /* its CRC-32 */
    uint32_t table_bits; /* the byte model has 2^table_bits slots of two bytes; 0 in version 3 */
    uint32_t directory;  /* bytes of the directory */
    uint32_t rest;       /* bytes of the unpacked file that are not in arrays */
    uint32_t lanes;
    uint32_t period;     /* the longest of the arrays with column contexts */
    uint32_t coded;      /* bytes of the coded directory and rest */
} tfcz_header;

/* Reads the header.  The source stands behind it afterwards. */
tfcz_status tfcz_read_header(tfcz_read read, void *source, tfcz_header *header);

/* Bytes of work memory that are always enough for a file with this header. */
size_t tfcz_work_bytes(const tfcz_header *header);

/* Unpacks what follows the header into output, which has room for header->size bytes.
   work is aligned to 8 bytes.  The source is read once, from front to back. */
tfcz_status tfcz_unpack(const tfcz_header *header, tfcz_read read, void *source, uint8_t *output, size_t output_bytes,
                        void *work, size_t work_bytes);

#endif
