/* A JSON writer into a buffer that grows; without it, printf(3) in a container with a small memory limit would do. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

static char *buffer;
static size_t used, space;
static bool comma;

static void put(const char *bytes, size_t length) {
    if (used + length > space) {
        space = (used + length) * 2 + 4096;
        buffer = realloc(buffer, space);
        if (buffer == NULL)
            _exit(120);
    }
    memcpy(buffer + used, bytes, length);
    used += length;
}

static void puts_(const char *text) { put(text, strlen(text)); }

/* Bytes that are not ASCII become the lone surrogates of Python's "surrogateescape". */
static void quoted(const char *bytes, size_t length) {
    char escaped[8];
    puts_("\"");
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte == '"' || byte == '\\') {
            escaped[0] = '\\';
            escaped[1] = (char)byte;
            put(escaped, 2);
        } else if (byte < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", byte);
            puts_(escaped);
        } else if (byte >= 0x80) {
            snprintf(escaped, sizeof escaped, "\\udc%02x", byte);
            puts_(escaped);
        } else
            put(bytes + i, 1);
    }
    puts_("\"");
}

static void begin(const char *name) {
    if (comma)
        puts_(",");
    comma = true;
    if (name != NULL) {
        quoted(name, strlen(name));
        puts_(":");
    }
}

void json_open(const char *name, char bracket) {
    begin(name);
    put(&bracket, 1);
    comma = false;
}

void json_close(char bracket) {
    put(&bracket, 1);
    comma = true;
}

void json_bytes(const char *name, const char *value, size_t length) {
    begin(name);
    quoted(value, length);
}

void json_text(const char *name, const char *value) {
    if (value == NULL)
        json_null(name);
    else
        json_bytes(name, value, strlen(value));
}

static void plain(const char *name, const char *word) {
    begin(name);
    puts_(word);
}

void json_number(const char *name, long long value) {
    char text[24];
    snprintf(text, sizeof text, "%lld", value);
    plain(name, text);
}

void json_unsigned(const char *name, unsigned long long value) {
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    plain(name, text);
}

void json_bool(const char *name, bool value) { plain(name, value ? "true" : "false"); }

void json_null(const char *name) { plain(name, "null"); }

void json_errno(int number) { json_text("error", number ? strerrorname_np(number) : NULL); }

void json_flush(void) {
    put("\n", 1);
    for (size_t done = 0; done < used;) {
        ssize_t count = write(STDOUT_FILENO, buffer + done, used - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            _exit(121);
        done += (size_t)count;
    }
    used = 0;
    comma = false;
}
