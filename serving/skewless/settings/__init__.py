"""What every process reads from its environment, and what it passes on to the processes that it starts. It imports the
contract, and every room above the contract may import it.
"""
