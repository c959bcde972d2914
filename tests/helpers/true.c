/* A program that does nothing, to be started many times. */
int main(void)
{
    return 0;
}
