"""SASL mechanisms as generators: octets in, questions and challenges out.

RFC: 4422.
Invariants: pure; what a mechanism must know about an account it asks for by yielding a question.
Not here: who the account is (directory/, store/), base64 around it (each protocol's server).
"""
