/* Reads JSON for jsontext.py, which says what is refused and why.
 *
 * SECURITY: the text is anybody's. Each character is looked at a bounded number of times, nesting ends at the interpreter's
 * limit of recursion, and all reading goes through character(), which knows where the text ends.
 *
 * Where there is no launcher, fallback.py does this with CPython's scanner, whose words and places these are; a test compares. */
#include "launcher.h"

#include <math.h>
#include <string.h>

#define END 0x110000u /* what stands behind the text; no character */

/* A function that refuses returns NULL, or END, and leaves a message here; without a message it has set an exception. */
struct reader {
    PyObject *text, *keys; /* equal keys are one object */
    const void *data;
    int kind;
    Py_ssize_t length, at, start;
    PyObject *message;
    Py_ssize_t place, unfit_place;
    const char *unfit; /* the first character that no text may hold: refused if nothing else is wrong */
};

static PyObject *refuse(struct reader *reader, Py_ssize_t place, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    reader->message = PyUnicode_FromFormatV(format, arguments);
    reader->place = place;
    va_end(arguments);
    return NULL;
}

static Py_UCS4 character(const struct reader *reader, Py_ssize_t at)
{
    return at < reader->length ? PyUnicode_READ(reader->kind, reader->data, at) : END;
}

/* The next character that is no white space. */
static Py_UCS4 next(struct reader *reader)
{
    Py_UCS4 c;
    while ((c = character(reader, reader->at)) == ' ' || c == '\n' || c == '\t' || c == '\r')
        reader->at++;
    return c;
}

/* The number behind the `u` that stands here. It never ends a text. */
static Py_UCS4 read_hexadecimal(struct reader *reader, Py_ssize_t at)
{
    Py_UCS4 value = 0;
    for (Py_ssize_t i = 1; i <= 4; i++) {
        const Py_UCS4 c = character(reader, at + i), letter = (c | 32) - 'a';
        const Py_UCS4 digit = c - '0' < 10 ? c - '0' : letter < 6 ? letter + 10 : 16;
        if (digit > 15 || character(reader, at + 5) == END) {
            refuse(reader, at, "invalid \\uXXXX escape");
            return END;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* What the escape means that begins here, in the string that begins at `opening`. */
static Py_UCS4 read_escape(struct reader *reader, Py_ssize_t opening)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const Py_ssize_t begin = reader->at;
    Py_UCS4 c = character(reader, begin + 1);
    if (c != 'u') {
        const char *found = c && c < 128 ? strchr(letters, (int)c) : NULL;
        if (!found)
            c == END ? refuse(reader, opening, "unterminated string starting") : refuse(reader, begin, "invalid \\escape");
        reader->at += 2;
        return found ? (Py_UCS4)meanings[found - letters] : END;
    }
    c = read_hexadecimal(reader, begin + 1);
    reader->at += 6;
    if (Py_UNICODE_IS_HIGH_SURROGATE(c) && character(reader, begin + 6) == '\\' && character(reader, begin + 7) == 'u') {
        const Py_UCS4 low = read_hexadecimal(reader, begin + 7);
        if (low == END)
            return END;
        if (Py_UNICODE_IS_LOW_SURROGATE(low)) {
            reader->at += 6;
            return Py_UNICODE_JOIN_SURROGATES(c, low);
        }
    }
    if (!reader->unfit && (c == 0 || Py_UNICODE_IS_SURROGATE(c))) {
        reader->unfit = c ? "a string holds half of a surrogate pair" : "a string holds a NUL character";
        reader->unfit_place = begin;
    }
    return c;
}

/* The place of the next character that does not stand for itself in a string. */
static Py_ssize_t behind_plain(const struct reader *reader, Py_ssize_t at)
{
    Py_UCS4 c;
    while ((c = character(reader, at)) >= ' ' && c != '"' && c != '\\' && c != END)
        at++;
    return at;
}

static PyObject *read_string(struct reader *reader)
{
    const Py_ssize_t opening = reader->at;
    Py_ssize_t begin = opening + 1, end = behind_plain(reader, begin);
    Py_UCS4 c = character(reader, end);
    reader->at = end + 1;
    if (c == '"')
        return PyUnicode_Substring(reader->text, begin, end);
    _PyUnicodeWriter writer;
    _PyUnicodeWriter_Init(&writer);
    writer.overallocate = 1;
    while (c == '\\') {
        reader->at = end;
        c = _PyUnicodeWriter_WriteSubstring(&writer, reader->text, begin, end) < 0 ? END : read_escape(reader, opening);
        if (c == END || _PyUnicodeWriter_WriteChar(&writer, c) < 0)
            goto failed;
        begin = reader->at;
        end = behind_plain(reader, begin);
        c = character(reader, end);
        reader->at = end + 1;
    }
    if (c == '"' && _PyUnicodeWriter_WriteSubstring(&writer, reader->text, begin, end) == 0)
        return _PyUnicodeWriter_Finish(&writer);
    if (c != '"')
        c == END ? refuse(reader, opening, "unterminated string starting") : refuse(reader, end, "invalid control character");
failed:
    _PyUnicodeWriter_Dealloc(&writer);
    return NULL;
}

static Py_ssize_t behind_digits(const struct reader *reader, Py_ssize_t at)
{
    while (character(reader, at) - '0' < 10)
        at++;
    return at;
}

static PyObject *read_number(struct reader *reader)
{
    const Py_ssize_t begin = reader->at, digits = begin + (character(reader, begin) == '-');
    const Py_ssize_t whole = character(reader, digits) == '0' ? digits + 1 : behind_digits(reader, digits);
    if (whole == digits) {
        const char *message = begin < reader->length ? "a value was expected here" : "the text ends where a value should begin";
        return refuse(reader, begin, reader->start < reader->length ? message : "the text is empty");
    }
    Py_ssize_t end = whole;
    if (character(reader, end) == '.' && character(reader, end + 1) - '0' < 10)
        end = behind_digits(reader, end + 1);
    if (character(reader, end) == 'e' || character(reader, end) == 'E') {
        const Py_UCS4 sign = character(reader, end + 1);
        const Py_ssize_t exponent = end + 1 + (sign == '+' || sign == '-'), behind = behind_digits(reader, exponent);
        end = behind > exponent ? behind : end;
    }
    reader->at = end;
    if (end == whole) {
        unsigned long long value = 0;
        int overflow = 0;
        for (Py_ssize_t at = digits; at < end && !overflow; at++)
            overflow = __builtin_mul_overflow(value, 10, &value)
                       || __builtin_add_overflow(value, character(reader, at) - '0', &value);
        if (overflow || (digits > begin && value > 1ull << 63))
            return refuse(reader, begin, "the number does not fit in 64 bits");
        return digits > begin ? PyLong_FromLongLong((long long)-value) : PyLong_FromUnsignedLongLong(value);
    }
    PyObject *token = PyUnicode_Substring(reader->text, begin, end);
    PyObject *number = token ? PyFloat_FromString(token) : NULL;
    Py_XDECREF(token);
    if (number && isinf(PyFloat_AS_DOUBLE(number))) {
        refuse(reader, begin, "the number is too large");
        Py_CLEAR(number);
    }
    return number;
}

static PyObject *read_word(struct reader *reader)
{
    static const struct {
        const char *text;
        PyObject *value; /* NULL: what JavaScript knows and JSON does not */
    } words[] = {{"null", Py_None}, {"true", Py_True}, {"false", Py_False}, {"NaN", NULL}, {"Infinity", NULL}, {"-Infinity", NULL}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        Py_ssize_t size = 0;
        while (words[i].text[size] && character(reader, reader->at + size) == (Py_UCS4)words[i].text[size])
            size++;
        if (words[i].text[size])
            continue;
        if (!words[i].value)
            return refuse(reader, reader->at, "%s is not JSON", words[i].text);
        reader->at += size;
        return Py_NewRef(words[i].value);
    }
    return read_number(reader);
}

static PyObject *read_members(struct reader *reader, Py_UCS4 closing);

static PyObject *read_value(struct reader *reader)
{
    const Py_UCS4 c = next(reader);
    if (c == '"')
        return read_string(reader);
    if (c != '{' && c != '[')
        return c - '0' < 10 ? read_number(reader) : read_word(reader);
    if (Py_EnterRecursiveCall(""))
        return NULL;
    PyObject *value = read_members(reader, c == '{' ? '}' : ']');
    Py_LeaveRecursiveCall();
    return value;
}

/* The key that stands here, borrowed from `keys`, with the colon behind it. */
static PyObject *read_key(struct reader *reader)
{
    if (next(reader) != '"')
        return refuse(reader, reader->at, "expecting property name enclosed in double quotes");
    PyObject *read = read_string(reader);
    PyObject *key = read ? PyDict_SetDefault(reader->keys, read, read) : NULL;
    Py_XDECREF(read);
    if (key && next(reader) != ':')
        return refuse(reader, reader->at, "expecting ':' delimiter");
    reader->at++;
    return key;
}

/* An object or a list, from its opening bracket to the closing one. */
static PyObject *read_members(struct reader *reader, Py_UCS4 closing)
{
    PyObject *made = closing == '}' ? PyDict_New() : PyList_New(0), *repeated = NULL;
    Py_ssize_t repeated_place = 0, count = 0;
    reader->at++;
    if (made && next(reader) == closing) {
        reader->at++;
        return made;
    }
    while (made) {
        PyObject *key = NULL;
        next(reader);
        const Py_ssize_t begin = reader->at;
        if (closing == '}' && !(key = read_key(reader)))
            break;
        PyObject *value = read_value(reader);
        const int status = !value ? -1 : key ? PyDict_SetItem(made, key, value) : PyList_Append(made, value);
        Py_XDECREF(value);
        if (status < 0)
            break;
        if (key && !repeated && PyDict_GET_SIZE(made) != ++count) {
            repeated = key;
            repeated_place = begin;
        }
        const Py_UCS4 c = next(reader);
        if (c != ',' && c != closing) {
            refuse(reader, reader->at, "expecting ',' delimiter");
            break;
        }
        reader->at++;
        if (c == closing && !repeated)
            return made;
        if (c == closing) {
            refuse(reader, repeated_place, "the key \"%U\" appears twice in one object", repeated);
            break;
        }
    }
    Py_XDECREF(made);
    return NULL;
}

/* The value of a text, a str; what is refused raises refused(message, offset, text). */
PyObject *read_json(PyObject *text, PyObject *refused)
{
    struct reader reader = {.text = text, .keys = PyDict_New(), .data = PyUnicode_DATA(text), .kind = PyUnicode_KIND(text)};
    reader.length = PyUnicode_GET_LENGTH(text);
    next(&reader);
    reader.start = reader.at;
    PyObject *value = reader.keys ? read_value(&reader) : NULL;
    if (value && next(&reader) != END) {
        refuse(&reader, reader.at, "text after the end of the JSON value");
    } else if (value && reader.unfit) {
        refuse(&reader, reader.unfit_place, reader.unfit);
    } else if (PyErr_Occurred() && PyErr_ExceptionMatches(PyExc_RecursionError)) {
        PyErr_Clear();
        refuse(&reader, reader.start, "nested too deeply");
    }
    if (reader.message) {
        PyObject *arguments = Py_BuildValue("NnO", reader.message, reader.place, text);
        if (arguments)
            PyErr_SetObject(refused, arguments);
        Py_XDECREF(arguments);
    }
    if (PyErr_Occurred())
        Py_CLEAR(value);
    Py_XDECREF(reader.keys);
    return value;
}
