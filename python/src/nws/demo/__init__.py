"""What is in Python's standard library? Real work for all cores of a machine: `python -m nws.demo`.

A task is one source file: `survey` has what is done with it, `findings` what is found over all files, `__main__` does
the work twice, first in one process and then in a sleigh, and shows what each took.
"""
