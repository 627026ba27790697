/* Start-up code, and input and output by semihosting, for programs on QEMU's boards with a Cortex-M.
 *
 * Standard input and output are the files "stdin" and "stdout" of QEMU's directory. The number of instructions is read
 * from SysTick: with -icount shift=0, an instruction takes 1 ns.
 */
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

extern uint32_t stack_top, data_load, data_begin, data_end, bss_begin, bss_end, heap_begin;

int main(int argc, char **argv);
void board_start(void);
void board_fault(void);
uint32_t board_ticks(void);

enum { OPEN = 1, CLOSE = 2, WRITE = 5, READ = 6, COMMAND_LINE = 0x15, EXIT = 0x20, APPLICATION_EXIT = 0x20026 };

__attribute__((section(".vectors"), used)) static const uintptr_t vectors[16] = {
    (uintptr_t)&stack_top,   (uintptr_t)board_start, (uintptr_t)board_fault, (uintptr_t)board_fault,
    (uintptr_t)board_fault, (uintptr_t)board_fault, (uintptr_t)board_fault, (uintptr_t)board_fault,
};

static intptr_t call(uintptr_t number, const void *parameters)
{
    register uintptr_t r0 __asm__("r0") = number;
    register const void *r1 __asm__("r1") = parameters;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (intptr_t)r0;
}

void _exit(int code)
{
    uintptr_t parameters[2] = {APPLICATION_EXIT, (uintptr_t)code};
    for (;;)
        call(EXIT, parameters);
}

void board_fault(void)
{
    _exit(99);
}

static intptr_t opened(int file)
{
    static intptr_t handles[3] = {-1, -1, -1};
    static const char *const names[3] = {"stdin", "stdout", "stderr"};
    if (handles[file] < 0) {
        /* Modes of fopen: 1 is "rb", 5 is "wb". */
        uintptr_t parameters[3] = {(uintptr_t)names[file], file == 0 ? 1 : 5, strlen(names[file])};
        handles[file] = call(OPEN, parameters);
    }
    return handles[file];
}

/* Both calls return the number of bytes that are left. */
int _read(int file, char *bytes, int count)
{
    uintptr_t parameters[3] = {(uintptr_t)opened(file), (uintptr_t)bytes, (uintptr_t)count};
    return count - (int)call(READ, parameters);
}

int _write(int file, const char *bytes, int count)
{
    uintptr_t parameters[3] = {(uintptr_t)opened(file), (uintptr_t)bytes, (uintptr_t)count};
    return count - (int)call(WRITE, parameters);
}

void *_sbrk(intptr_t size)
{
    static char *end;
    char *begin = end = end ? end : (char *)&heap_begin;
    end += size;
    return begin;
}

int _fstat(int file, struct stat *status)
{
    (void)file;
    status->st_mode = S_IFREG;
    return 0;
}

int _close(int file)
{
    (void)file;
    return 0;
}

int _isatty(int file)
{
    (void)file;
    return 0;
}

int _lseek(int file, int offset, int whence)
{
    (void)file, (void)offset, (void)whence;
    return 0;
}

int _getpid(void)
{
    return 1;
}

int _kill(int process, int signal)
{
    (void)process, (void)signal;
    return -1;
}

/* SysTick counts down from 2^24 - 1. */
#define SYSTICK ((volatile uint32_t *)0xE000E010)

uint32_t board_ticks(void)
{
    return 0xffffff - SYSTICK[2];
}

__attribute__((noinline, noreturn)) static void start(void)
{
    static char line[80];
    char *arguments[4] = {line};
    uintptr_t parameters[2] = {(uintptr_t)line, sizeof line};
    int count = 1;
    char *at;
    memcpy(&data_begin, &data_load, (size_t)((char *)&data_end - (char *)&data_begin));
    memset(&bss_begin, 0, (size_t)((char *)&bss_end - (char *)&bss_begin));
    SYSTICK[1] = 0xffffff;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* enabled, the processor's clock, without interrupts */
    call(COMMAND_LINE, parameters);
    for (at = line; *at; at++)
        if (*at == ' ' && count < 4) {
            *at = '\0';
            arguments[count++] = at + 1;
        }
    {
        extern void exit(int code) __attribute__((noreturn));
        exit(main(count, arguments));
    }
}

void board_start(void)
{
    /* Coprocessors 10 and 11: floating point and MVE. */
    *(volatile uint32_t *)0xE000ED88 |= 0xf << 20;
    __asm__ volatile("dsb\nisb");
    start();
}
