// A fax machine that is none of ours: spandsp speaks T.30 and T.38, this program packs its words into UDPTL (ITU-T T.38 §9.1) and takes them out
// again, by a reading of the standard of its own. Four times as fast as paper.
//
//   machine draw FILE           a page in a TIFF file
//   machine same FILE FILE      exit 0 if both have one page and the same one
//   machine send|receive FILE   says "port N"; hears "remote PORT"; says "end REASON, sent N, received N, RATE bit/s, redundancy used N"
//
// Built by the test with cc, -lspandsp -ltiff.

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tiffio.h>

#include <spandsp.h>

enum {
    WIDTH = 1728, // pels of a line (T.4)
    LINES = 160,
    STEP = 160, // samples, 20 ms
    SPEED = 4,
    SECONDS_MAX = 45,
    WORD_MAX = 512, // bytes of one IFP packet
    BEFORE = 3, // words that are said again with each
};

static void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(2);
}

// A line of the page: slanted bars and a frame.
static void draw_line(unsigned char *bits, int line)
{
    memset(bits, 0, WIDTH / 8);
    for (int at = 0; at < WIDTH; at++) {
        int is_black = line < 2 || line >= LINES - 2 || at < 8 || at >= WIDTH - 8 || (at + 3 * line) % 97 < 11;
        if (is_black)
            bits[at / 8] |= 0x80 >> at % 8;
    }
}

static int draw(const char *file)
{
    TIFF *tiff = TIFFOpen(file, "w");
    if (!tiff)
        fail("the page cannot be written");
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, WIDTH);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, LINES);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 1);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 1);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, COMPRESSION_CCITT_T4);
    TIFFSetField(tiff, TIFFTAG_FILLORDER, FILLORDER_LSB2MSB);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISWHITE);
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, LINES);
    TIFFSetField(tiff, TIFFTAG_XRESOLUTION, 204.0f);
    TIFFSetField(tiff, TIFFTAG_YRESOLUTION, 98.0f);
    TIFFSetField(tiff, TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
    unsigned char bits[WIDTH / 8];
    for (int line = 0; line < LINES; line++) {
        draw_line(bits, line);
        // The library wants the bits in the order that the file has.
        TIFFReverseBits(bits, sizeof(bits));
        if (TIFFWriteScanline(tiff, bits, line, 0) < 0)
            fail("a line cannot be written");
    }
    TIFFClose(tiff);
    return 0;
}

// The page's lines, first pel in the highest bit; how many.
static int read_page(const char *file, unsigned char page[LINES][WIDTH / 8])
{
    TIFF *tiff = TIFFOpen(file, "r");
    uint32_t width = 0, lines = 0;
    uint16_t order = FILLORDER_MSB2LSB, ink = PHOTOMETRIC_MINISWHITE;
    if (!tiff)
        fail("there is no page");
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &lines);
    TIFFGetFieldDefaulted(tiff, TIFFTAG_FILLORDER, &order);
    TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &ink);
    if (width != WIDTH || lines != LINES)
        fail("the page has another size");
    for (uint32_t line = 0; line < lines; line++) {
        if (TIFFReadScanline(tiff, page[line], line, 0) < 0)
            fail("a line cannot be read");
        if (order == FILLORDER_LSB2MSB)
            TIFFReverseBits(page[line], WIDTH / 8);
        for (int at = 0; at < WIDTH / 8 && ink == PHOTOMETRIC_MINISBLACK; at++)
            page[line][at] = ~page[line][at];
    }
    int is_last = TIFFLastDirectory(tiff);
    TIFFClose(tiff);
    return is_last;
}

static int same(const char *one, const char *other)
{
    static unsigned char pages[2][LINES][WIDTH / 8];
    int is_one_page = read_page(one, pages[0]) && read_page(other, pages[1]);
    return is_one_page && !memcmp(pages[0], pages[1], sizeof(pages[0])) ? 0 : 1;
}

struct word {
    int length;
    uint8_t bytes[WORD_MAX];
};

struct machine {
    int socket;
    struct sockaddr_in remote;
    // What was said last, newest first.
    struct word said[1 + BEFORE];
    int words;
    uint16_t number; // of the next
    uint16_t expected;
    int recovered;
    int is_over;
    int code;
    t30_stats_t statistics;
};

// An open type's length (X.691 §11.9) and the word itself.
static int put_word(uint8_t *to, const struct word *word)
{
    int at = 0;
    if (word->length < 0x80) {
        to[at++] = word->length;
    } else {
        to[at++] = 0x80 | word->length >> 8;
        to[at++] = word->length & 0xff;
    }
    memcpy(to + at, word->bytes, word->length);
    return at + word->length;
}

// The word at `*at`; its length, or -1.
static int take_word(const uint8_t *from, int length, int *at, const uint8_t **word)
{
    if (*at >= length)
        return -1;
    int words = from[(*at)++];
    if (words & 0x80) {
        if (words & 0x40 || *at >= length)
            return -1;
        words = (words & 0x3f) << 8 | from[(*at)++];
    }
    if (words > length - *at)
        return -1;
    *word = from + *at;
    *at += words;
    return words;
}

static int say(t38_core_state_t *core, void *user, const uint8_t *bytes, int length, int count)
{
    struct machine *machine = user;
    uint8_t datagram[4 + (1 + BEFORE) * (2 + WORD_MAX)];
    (void)core;
    if (length > WORD_MAX)
        fail("a word is too long");
    memmove(machine->said + 1, machine->said, BEFORE * sizeof(machine->said[0]));
    machine->said[0].length = length;
    memcpy(machine->said[0].bytes, bytes, length);
    int before = machine->words < BEFORE ? machine->words : BEFORE;
    machine->words++;
    int at = 0;
    datagram[at++] = machine->number >> 8;
    datagram[at++] = machine->number & 0xff;
    at += put_word(datagram + at, &machine->said[0]);
    datagram[at++] = 0; // secondary words
    datagram[at++] = before;
    for (int which = 1; which <= before; which++)
        at += put_word(datagram + at, &machine->said[which]);
    machine->number++;
    for (int time = 0; time < count; time++)
        sendto(machine->socket, datagram, at, 0, (struct sockaddr *)&machine->remote, sizeof(machine->remote));
    return 0;
}

static void hear(struct machine *machine, t38_core_state_t *core, const uint8_t *datagram, int length)
{
    const uint8_t *words[1 + BEFORE];
    int lengths[1 + BEFORE], at = 2, count = 1;
    if (length < 2 || (lengths[0] = take_word(datagram, length, &at, &words[0])) < 0)
        fail("a datagram that is no UDPTL");
    uint16_t number = datagram[0] << 8 | datagram[1];
    if (at < length && datagram[at++] == 0) {
        int secondary = at < length ? datagram[at++] : 0;
        for (; count <= secondary && count <= BEFORE; count++)
            if ((lengths[count] = take_word(datagram, length, &at, &words[count])) < 0)
                fail("a datagram whose words do not fit");
    }
    // Whatever is missing before it, oldest first, then the word itself.
    for (int back = count - 1; back >= 0; back--) {
        uint16_t its = number - back;
        if ((int16_t)(its - machine->expected) < 0)
            continue;
        machine->recovered += back > 0;
        machine->expected = its + 1;
        t38_core_rx_ifp_packet(core, words[back], lengths[back], its);
    }
}

static void ended(t30_state_t *t30, void *user, int code)
{
    struct machine *machine = user;
    machine->is_over = 1;
    machine->code = code;
    t30_get_transfer_statistics(t30, &machine->statistics);
}

static void open_port(struct machine *machine)
{
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(local);
    char line[64];
    int port = 0;
    machine->socket = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(machine->socket, (struct sockaddr *)&local, length) ||
        getsockname(machine->socket, (struct sockaddr *)&local, &length))
        fail("no port");
    printf("port %d\n", ntohs(local.sin_port));
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin) || sscanf(line, "remote %d", &port) != 1)
        fail("nobody says where the other machine is");
    machine->remote = local;
    machine->remote.sin_port = htons(port);
}

static int fax(int sends, const char *file)
{
    static struct machine machine;
    open_port(&machine);
    t38_terminal_state_t *terminal = t38_terminal_init(NULL, sends, say, &machine);
    t38_core_state_t *core = t38_terminal_get_t38_core_state(terminal);
    t30_state_t *t30 = t38_terminal_get_t30_state(terminal);
    t30_set_phase_e_handler(t30, ended, &machine);
    if (sends)
        t30_set_tx_file(t30, file, -1, -1);
    else
        t30_set_rx_file(t30, file, -1);
    // The end is said once more than it is heard: a machine that has nothing more to do goes on for a moment.
    int steps = SECONDS_MAX * SPEED * 8000 / STEP, left = 50;
    for (int step = 0; step < steps && left > 0; step++) {
        struct pollfd readable = {.fd = machine.socket, .events = POLLIN};
        struct timespec pause = {.tv_nsec = 1000000000L / 8000 * STEP / SPEED};
        nanosleep(&pause, NULL);
        while (poll(&readable, 1, 0) > 0) {
            uint8_t datagram[2048];
            int length = recv(machine.socket, datagram, sizeof(datagram), 0);
            if (length >= 0)
                hear(&machine, core, datagram, length);
        }
        t38_terminal_send_timeout(terminal, STEP);
        left -= machine.is_over;
    }
    if (!machine.is_over)
        fail("the fax does not end");
    t38_terminal_free(terminal);
    printf("end %s, sent %d, received %d, %d bit/s, redundancy used %d\n", t30_completion_code_to_str(machine.code),
           machine.statistics.pages_tx, machine.statistics.pages_rx, machine.statistics.bit_rate, machine.recovered);
    return machine.code == T30_ERR_OK ? 0 : 1;
}

int main(int count, char **words)
{
    if (count == 3 && !strcmp(words[1], "draw"))
        return draw(words[2]);
    if (count == 4 && !strcmp(words[1], "same"))
        return same(words[2], words[3]);
    if (count == 3 && (!strcmp(words[1], "send") || !strcmp(words[1], "receive")))
        return fax(words[1][0] == 's', words[2]);
    fail("machine draw FILE | same FILE FILE | send FILE | receive FILE");
}
