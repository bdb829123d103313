/* hold FILE: writes to FILE through a shared mapping again and again, because the kernel writes the page
   back meanwhile, and keeps the mapping, because to close it would write the page back, too. Says "held" and
   goes on until it is killed. Its working directory is /. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int file;
	char *page;

	if (argc != 2 || chdir("/"))
		return 2;
	file = open(argv[1], O_RDWR | O_CREAT, 0644);
	if (file < 0 || ftruncate(file, 4096)) {
		perror(argv[1]);
		return 1;
	}
	page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (page == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	strcpy(page, "dirty\n");
	puts("held");
	fflush(stdout);
	for (;;) {
		page[0]++;
		usleep(50000);
	}
}
