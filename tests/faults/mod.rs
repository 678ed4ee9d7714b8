//! Faults of what `lake bronze` stands on, and of its neighbours: the store, the broker, other processes, other
//! writers of its table. After each the table holds every record once, or a named error says what is wrong.

mod store;
